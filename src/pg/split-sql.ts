// Splits a migration into its statements, for the few that must run outside a transaction (a text of several statements is one).

/**
 * Statements of a text, without their semicolons, in order; empty ones and comments between them are left out.
 * Knows quoted strings, quoted names, `E''` strings, dollar quotes, line comments and nested block comments.
 */
export function splitSql(text: string): string[] {
  const statements: string[] = []
  let current = ''
  let at = 0
  while (at < text.length) {
    const rest = text.slice(at)
    const skipped = comment(rest)
    if (skipped > 0) {
      current += ' '
      at += skipped
      continue
    }
    const quoted = quote(rest, current.at(-1))
    if (quoted > 0) {
      current += rest.slice(0, quoted)
      at += quoted
      continue
    }
    if (text[at] === ';') {
      statements.push(current)
      current = ''
    } else current += text[at]
    at++
  }
  statements.push(current)
  return statements.map(statement => statement.trim()).filter(statement => statement !== '')
}

/** Length of the comment at the start of `text`, or 0. */
function comment(text: string): number {
  if (text.startsWith('--')) {
    const end = text.indexOf('\n')
    return end < 0 ? text.length : end + 1
  }
  if (!text.startsWith('/*')) return 0
  let depth = 0
  for (const match of text.matchAll(/\/\*|\*\//g)) {
    depth += match[0] === '/*' ? 1 : -1
    if (depth === 0) return match.index + 2
  }
  return text.length
}

/** Length of the quoted part at the start of `text`, or 0. */
function quote(text: string, before: string | undefined): number {
  const first = text[0]
  if (first === '"' || first === "'") {
    const body =
      first === "'" && /[eE]/.test(before ?? '') ? /^'(?:[^'\\]|\\.|'')*'/s : /^(['"])(?:(?!\1).|\1\1)*\1/s
    return body.exec(text)?.[0].length ?? text.length
  }
  const tag = first === '$' && !/\w/.test(before ?? '') ? /^\$(?:[A-Za-z_]\w*)?\$/.exec(text)?.[0] : undefined
  if (tag === undefined) return 0
  const end = text.indexOf(tag, tag.length)
  return end < 0 ? text.length : end + tag.length
}
