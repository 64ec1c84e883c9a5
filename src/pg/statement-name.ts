// What a statement is called in metrics: its verb and the first table it names. Statements are unnamed on the wire, and a name written
// by hand beside each of them would have to be kept true by hand.

/** Texts whose names are kept; lists with many filters have many texts. */
const maxTexts = 2000
const names = new Map<string, string>()

/** @returns e.g. `select sessions`, `begin`; the same for the same text */
export function statementName(text: string): string {
  const known = names.get(text)
  if (known !== undefined) return known
  if (names.size >= maxTexts) names.clear()
  const name = readName(text)
  names.set(text, name)
  return name
}

function readName(text: string): string {
  const verb = /^[\s(]*([a-z]+)/i.exec(text)?.[1]?.toLowerCase() ?? 'other'
  const table =
    /\b(?:from|into|update|join|table|call)\s+(?:only\s+)?(?:"[^"]+"\.|[a-z_]\w*\.)?(?:"([^"]+)"|([a-z_]\w*))/i.exec(
      text,
    )
  const target = table?.[1] ?? table?.[2]
  if (target !== undefined) return `${verb} ${target.toLowerCase()}`
  const called = verb === 'select' ? /\b([a-z_]\w*)\s*\(/i.exec(text)?.[1]?.toLowerCase() : undefined
  return called === undefined ? verb : `${verb} ${called}`
}
