// docs/benchmarks.md as a run writes it: each benchmark owns the part between its two markers, so that one of them can be run alone.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import { join } from 'node:path'
import type { Figure } from './figure.ts'

export interface Table {
  title: string
  columns: string[]
  rows: (string | number)[][]
  /** what a reader must know to read it */
  note?: string
}

/** Gathers what the benchmarks show; written only when asked for. */
export interface Document {
  begin(bench: string): void
  figure(figure: Figure): void
  table(table: Table): void
  /** @param name file name without its ending; there is one picture for light and dark */
  picture(name: string, svg: string, caption: string): void
  /** Writes what the benchmark begun last has shown. */
  end(): void
}

const docs = join(import.meta.dirname, '../docs')
const page = join(docs, 'benchmarks.md')

/** @param write false = nothing is kept */
export function createDocument(write: boolean): Document {
  let bench = ''
  let began = new Date()
  let figures: Figure[] = []
  let parts: string[] = []
  let load = 0
  return {
    begin(name) {
      bench = name
      began = new Date()
      load = os.loadavg()[0] ?? 0
      figures = []
      parts = []
    },
    figure: figure => void figures.push(figure),
    table: table => void parts.push(tableText(table)),
    picture(name, svg, caption) {
      parts.push(`![${caption}](images/${name}.svg)`)
      if (!write) return
      mkdirSync(join(docs, 'images'), { recursive: true })
      writeFileSync(join(docs, 'images', `${name}.svg`), svg)
    },
    end() {
      if (!write) return
      const when = `${began.toISOString().slice(0, 16).replace('T', ' ')} UTC`
      const machine = `${os.availableParallelism()} cores (${os.cpus()[0]?.model.trim() ?? 'unknown'}), shared with other work`
      const about = `Measured ${when} on ${machine}; load when it began ${load.toFixed(1)}; Node ${process.versions.node}.`
      const own = figures.length === 0 ? [] : [figureTable(figures)]
      const text = [about, ...parts, ...own].join('\n\n')
      const before = readFileSync(page, 'utf8')
      writeFileSync(page, replaced(before, bench, text))
    },
  }
}

/** The page with the part of one benchmark exchanged, or added at its end. */
export function replaced(before: string, bench: string, text: string): string {
  const [from, to] = [`<!-- ${bench} -->`, `<!-- end of ${bench} -->`]
  const part = `${from}\n${text}\n${to}`
  const [start, end] = [before.indexOf(from), before.indexOf(to)]
  if (start === -1 || end < start) return `${before.trimEnd()}\n\n## ${bench}\n\n${part}\n`
  return before.slice(0, start) + part + before.slice(end + to.length)
}

function figureTable(figures: Figure[]): string {
  const rows = figures.map(({ name, value, unit, goal, ok, note }) => [
    `\`${name}\``,
    `${spaced(value)} ${unit}`,
    goal ?? '',
    ok === undefined ? '' : ok ? 'met' : '**missed**',
    note ?? '',
  ])
  return tableText({ title: '', columns: ['figure', 'value', 'goal', '', 'remark'], rows })
}

function tableText({ title, columns, rows, note }: Table): string {
  const line = (cells: (string | number)[]) =>
    `| ${cells.map(cell => (typeof cell === 'number' ? spaced(cell) : cell.replaceAll('|', '\\|'))).join(' | ')} |`
  const head = [line(columns), `|${columns.map(() => '---').join('|')}|`]
  const heading = title === '' ? [] : [`**${title}**`, '']
  const remark = note === undefined ? [] : ['', note]
  return [...heading, ...head, ...rows.map(line), ...remark].join('\n')
}

/** 12,345 and 1.23 */
function spaced(value: number): string {
  return Math.abs(value) >= 1000 ? Math.round(value).toLocaleString('en-US') : String(value)
}
