// What a benchmark says: one figure per line, with its goal where there is one.

export interface Figure {
  name: string
  value: number
  unit: string
  /** as a person writes it: `>= 0.6` or `<= 100` */
  goal?: string
  ok?: boolean
  note?: string
}

export type Emit = (figure: Figure) => void

/** A figure with its goal judged; the value is rounded to three significant places behind the point at most. */
export function judged(figure: Omit<Figure, 'ok'> & { goal: string }): Figure {
  const [, sign = '', bound = ''] = /^(<=|>=) ([\d.]+)$/.exec(figure.goal) ?? []
  if (sign === '') throw new TypeError(`a goal reads ">= 0.6" or "<= 100", not "${figure.goal}"`)
  const value = rounded(figure.value)
  return { ...figure, value, ok: sign === '<=' ? value <= Number(bound) : value >= Number(bound) }
}

export function rounded(value: number): number {
  return Math.abs(value) >= 100 ? Math.round(value) : Number(value.toPrecision(3))
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = Math.floor(sorted.length / 2)
  const upper = sorted[middle] ?? Number.NaN
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? Number.NaN)) / 2
}
