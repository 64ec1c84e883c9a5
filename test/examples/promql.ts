// What a PromQL expression asks for: metrics with their matchers, and labels it groups by. Not a whole parser: it tells names of
// metrics from functions, keywords, label lists, strings and durations, and throws on what it cannot place.

export interface Selector {
  metric: string
  matchers: { label: string; operator: string; value: string }[]
}

export interface Asked {
  selectors: Selector[]
  /** labels of `by (…)`, `without (…)`, `on (…)`, … */
  grouping: string[]
}

const grouping = new Set(['by', 'without', 'on', 'ignoring', 'group_left', 'group_right'])
const operators = new Set(['and', 'or', 'unless', 'bool', 'offset', 'atan2', 'inf', 'nan'])
const functions = new Set(
  'sum min max avg count topk bottomk quantile stddev group count_values rate irate increase delta deriv histogram_quantile time clamp_min clamp_max label_replace abs ceil floor round scalar vector sort sort_desc absent changes resets avg_over_time max_over_time min_over_time sum_over_time'.split(
    ' ',
  ),
)
const token =
  /\s+|(?<string>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')|(?<range>\[[^\]]*\])|(?<number>\d+(?:\.\d+)?(?:e[+-]?\d+)?)|(?<name>[a-zA-Z_:][\w:]*)|(?<operator>=~|!~|!=|==|>=|<=|[-+*/%^<>=(){},])/gy

/** @throws Error for text it cannot place */
export function readPromql(text: string): Asked {
  const tokens = tokensOf(text)
  const asked: Asked = { selectors: [], grouping: [] }
  let at = 0
  let depth = 0
  while (at < tokens.length) {
    const { kind, text: word } = tokens[at]!
    const next = tokens[at + 1]?.text
    if (kind === 'range' && !/^\[(\$__rate_interval|\$__interval|\d+[smhdw])(:\d*[smhdw]?)?\]$/.test(word))
      throw new Error(`not a duration: ${word}`)
    if (word === '(') depth++
    if (word === ')') depth--
    if (depth < 0 || word === '{' || word === '}' || word === '=' || kind === 'string')
      throw new Error(`not expected here: ${word} in ${text}`)
    if (kind !== 'name' || operators.has(word)) {
      at++
    } else if (grouping.has(word)) {
      at = readGrouping(tokens, at + 1, asked)
    } else if (next === '(' || (functions.has(word) && grouping.has(next ?? ''))) {
      if (!functions.has(word)) throw new Error(`not a function: ${word}`)
      at++
    } else {
      at = readSelector(tokens, at, asked)
    }
  }
  if (depth !== 0) throw new Error(`brackets do not close: ${text}`)
  return asked
}

interface Token {
  kind: string
  text: string
}

function tokensOf(text: string): Token[] {
  const tokens: Token[] = []
  token.lastIndex = 0
  while (token.lastIndex < text.length) {
    const from = token.lastIndex
    const match = token.exec(text)
    if (match === null) throw new Error(`cannot read: ${text.slice(from)}`)
    const [kind, word] = Object.entries(match.groups ?? {}).find(([, found]) => found !== undefined) ?? []
    if (kind !== undefined && word !== undefined) tokens.push({ kind, text: word })
  }
  return tokens
}

function readGrouping(tokens: Token[], at: number, asked: Asked): number {
  if (tokens[at]?.text !== '(') return at
  for (let i = at + 1; i < tokens.length; i++) {
    const { kind, text } = tokens[i]!
    if (text === ')') return i + 1
    if (kind === 'name') asked.grouping.push(text)
    else if (text !== ',') throw new Error(`not a label: ${text}`)
  }
  throw new Error('a list of labels does not end')
}

function readSelector(tokens: Token[], at: number, asked: Asked): number {
  const selector: Selector = { metric: tokens[at]!.text, matchers: [] }
  asked.selectors.push(selector)
  if (tokens[at + 1]?.text !== '{') return at + 1
  let i = at + 2
  while (tokens[i]?.text !== '}') {
    const [label, operator, value, separator] = tokens.slice(i, i + 4)
    if (label?.kind !== 'name' || value?.kind !== 'string' || !/^(=|!=|=~|!~)$/.test(operator?.text ?? ''))
      throw new Error(`not a matcher after ${selector.metric}: ${label?.text}`)
    selector.matchers.push({
      label: label.text,
      operator: operator!.text,
      value: JSON.parse(`"${value.text.slice(1, -1)}"`) as string,
    })
    i += separator?.text === ',' ? 4 : 3
    if (i > tokens.length) throw new Error('matchers do not end')
  }
  return i + 1
}
