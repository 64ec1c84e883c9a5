// Pictures of what was measured: several small plots in one SVG, readable on light and on dark pages and for people who do not tell red
// from green (the colours are those of Okabe and Ito).

export interface Line {
  label: string
  points: readonly (readonly [x: number, y: number])[]
}

export interface LinePanel {
  title: string
  /** of the vertical axis */
  unit: string
  lines: Line[]
}

export interface Bar {
  label: string
  value: number
  /** bars of one series have one colour */
  series: number
}

export interface BarPanel {
  title: string
  unit: string
  bars: Bar[]
}

interface Picture {
  title: string
  /** names of the series, for the legend */
  series?: string[]
  columns?: number
}

const width = 360
const gap = 24
const headHeight = 56

/** Values over time. @param picture.across label and unit of the horizontal axis, the same for all */
export function linePicture(picture: Picture & { across: string; panels: LinePanel[] }): string {
  const height = 210
  return page(picture, height, picture.panels, panel => linePlot(panel, picture.across, height))
}

/** Values side by side, each panel on a scale of its own that begins at nought. */
export function barPicture(picture: Picture & { panels: BarPanel[] }): string {
  const height = 44 + 26 * Math.max(...picture.panels.map(({ bars }) => bars.length))
  return page(picture, height, picture.panels, barPlot)
}

function page<Panel>(
  { title, series = [], columns = 3 }: Picture,
  height: number,
  panels: Panel[],
  draw: (panel: Panel) => string,
): string {
  const across = Math.min(columns, panels.length)
  const size = {
    width: across * (width + gap) + gap,
    height: headHeight + Math.ceil(panels.length / across) * (height + gap) + 8,
  }
  const drawn = panels.map((panel, at) => {
    const [x, y] = [
      gap + (at % across) * (width + gap),
      headHeight + Math.floor(at / across) * (height + gap),
    ]
    return `<g transform="translate(${x},${y})">${draw(panel)}</g>`
  })
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${size.width} ${size.height}" width="${size.width}" height="${size.height}" role="img">`,
    `<title>${escaped(title)}</title>`,
    style,
    `<rect class="paper" width="${size.width}" height="${size.height}"/>`,
    `<text class="head" x="${gap}" y="26">${escaped(title)}</text>`,
    legend(series, gap, 44),
    ...drawn,
    '</svg>\n',
  ].join('\n')
}

const style = `<style>
.paper { fill: #ffffff } .frame { fill: none; stroke: #c8ccd2 } .grid { stroke: #e4e7eb }
text { font: 11px system-ui, sans-serif; fill: #4a5057 } .head { font: 600 15px system-ui, sans-serif; fill: #1c1f23 }
.title { font: 600 12px system-ui, sans-serif; fill: #1c1f23 } .end { text-anchor: end } .middle { text-anchor: middle }
.line { fill: none; stroke-width: 1.6; stroke-linejoin: round }
.s0 { color: #0072b2 } .s1 { color: #d55e00 } .s2 { color: #008a64 } .s3 { color: #b0558a } .s4 { color: #7a6a00 } .s5 { color: #4a5057 }
.line { stroke: currentColor } .fill { fill: currentColor }
@media (prefers-color-scheme: dark) {
.paper { fill: #0d1117 } .frame { stroke: #3d444d } .grid { stroke: #21262d } text { fill: #b3bac2 } .head, .title { fill: #e6edf3 }
.s0 { color: #56b4e9 } .s1 { color: #e69f00 } .s2 { color: #2fc79a } .s3 { color: #e09bc4 } .s4 { color: #f0e442 } .s5 { color: #b3bac2 }
}
</style>`

function linePlot({ title, unit, lines }: LinePanel, across: string, height: number): string {
  const named = lines.length > 1
  const plot = { left: 52, right: width, top: named ? 34 : 20, bottom: height - 34 }
  const points = lines.flatMap(line => line.points)
  const longest = Math.max(1e-9, ...points.map(([x]) => x))
  const xTicks = ticks(0, longest, 5).filter(value => value <= longest)
  const yTicks = ticks(0, Math.max(1e-9, ...points.map(([, y]) => y)), 4)
  const x = scale(0, longest, plot.left, plot.right)
  const y = scale(0, yTicks.at(-1) ?? 1, plot.bottom, plot.top)
  return [
    `<text class="title" x="0" y="11">${escaped(title)} <tspan font-weight="400">(${escaped(unit)})</tspan></text>`,
    named
      ? legend(
          lines.map(({ label }) => label),
          0,
          26,
        )
      : '',
    ...yTicks.map(
      value =>
        `<line class="grid" x1="${plot.left}" x2="${plot.right}" y1="${y(value)}" y2="${y(value)}"/>` +
        `<text class="end" x="${plot.left - 6}" y="${y(value) + 4}">${short(value)}</text>`,
    ),
    ...xTicks.map(
      value => `<text class="middle" x="${x(value)}" y="${plot.bottom + 15}">${short(value)}</text>`,
    ),
    `<text class="middle" x="${(plot.left + plot.right) / 2}" y="${plot.bottom + 30}">${escaped(across)}</text>`,
    `<path class="frame" d="M${plot.left} ${plot.top}V${plot.bottom}H${plot.right}"/>`,
    ...lines.map(
      (line, at) =>
        `<polyline class="line s${at % 6}" points="${line.points.map(([a, b]) => `${x(a)},${y(b)}`).join(' ')}"/>`,
    ),
  ].join('\n')
}

function barPlot({ title, unit, bars }: BarPanel): string {
  const left = 108
  const x = scale(0, Math.max(1e-9, ...bars.map(({ value }) => value)), left, width - 66)
  return [
    `<text class="title" x="0" y="11">${escaped(title)} <tspan font-weight="400">(${escaped(unit)})</tspan></text>`,
    ...bars.map(({ label, value, series }, at) => {
      const top = 24 + at * 26
      return (
        `<text class="end" x="${left - 8}" y="${top + 13}">${escaped(label)}</text>` +
        `<rect class="fill s${series % 6}" x="${left}" y="${top}" width="${Math.max(1, round(x(value) - left))}" height="18" rx="2"/>` +
        `<text x="${x(value) + 6}" y="${top + 13}">${short(value)}</text>`
      )
    }),
    `<path class="frame" d="M${left} 18V${24 + bars.length * 26}"/>`,
  ].join('\n')
}

function legend(names: string[], left: number, y: number): string {
  let x = left
  return names
    .map((name, at) => {
      const drawn = `<rect class="fill s${at % 6}" x="${x}" y="${y - 9}" width="10" height="10" rx="2"/><text x="${x + 14}" y="${y}">${escaped(name)}</text>`
      x += 30 + name.length * 6.2
      return drawn
    })
    .join('')
}

function scale(from: number, to: number, start: number, end: number): (value: number) => number {
  return value => round(start + ((value - from) / (to - from || 1)) * (end - start))
}

/** About so many round numbers that cover a range. */
function ticks(from: number, to: number, count: number): number[] {
  const rough = (to - from) / count
  const power = 10 ** Math.floor(Math.log10(rough))
  const step = [1, 2, 2.5, 5, 10].map(factor => factor * power).find(size => size >= rough) ?? rough
  const last = Math.ceil(to / step - 1e-9)
  return Array.from({ length: last + 1 }, (_, at) => Number((from + at * step).toPrecision(6)))
}

/** 1.2k and 3M, so that numbers do not run into each other. */
function short(value: number): string {
  for (const [size, letter] of [
    [1e6, 'M'],
    [1e3, 'k'],
  ] as const)
    if (
      Math.abs(value) >= (size === 1e6 ? size : 10 * size) ||
      (Math.abs(value) >= size && value % (size / 10) === 0)
    )
      return `${Number((value / size).toPrecision(3))}${letter}`
  return Math.abs(value) >= 1000
    ? Math.round(value).toLocaleString('en-US')
    : String(Number(value.toPrecision(3)))
}

function round(value: number): number {
  return Math.round(value * 10) / 10
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;')
}
