// An application as the library shows it, and what can be worked out from a list of them.

/** The fields of `GET /api/v3/core/applications/` the library reads. */
export interface Application {
  pk: string
  name: string
  slug: string
  launch_url: string | null
  open_in_new_tab: boolean
  meta_icon_url: string | null
  meta_description: string
  meta_publisher: string
  group: string
}

export interface ApplicationGroup {
  /** empty for applications without a group */
  name: string
  applications: Application[]
}

/** Groups applications by their group, both by name in the reader's language; those without a group come first. */
export function groupApplications(applications: readonly Application[]): ApplicationGroup[] {
  const groups = new Map<string, Application[]>()
  for (const application of applications) {
    const name = application.group.trim()
    const group = groups.get(name)
    if (group === undefined) groups.set(name, [application])
    else group.push(application)
  }
  return [...groups]
    .map(([name, members]) => ({ name, applications: members.toSorted(byName) }))
    .sort((a, b) => a.name.localeCompare(b.name))
}

/** The applications that fit what was typed, best first; all of them, unsorted, for an empty text. */
export function searchApplications(applications: readonly Application[], typed: string): Application[] {
  const wanted = folded(typed)
  if (wanted === '') return [...applications]
  return applications
    .map(application => ({ application, rank: rankOf(application, wanted) }))
    .filter(hit => hit.rank > 0)
    .sort((a, b) => b.rank - a.rank || byName(a.application, b.application))
    .map(hit => hit.application)
}

/** One or two letters for an application without an icon. */
export function initialsOf(name: string): string {
  const words = name.split(/[^\p{L}\p{N}]+/u).filter(word => word !== '')
  const letters =
    words.length > 1 ? words.slice(0, 2).map(word => [...word][0]) : [...(words[0] ?? '?')].slice(0, 1)
  return letters.join('').toUpperCase()
}

/** Number of the tile colour that belongs to a name: 0 to `count` - 1, the same on every device. */
export function tileColour(name: string, count: number): number {
  let hash = 2166136261
  for (const character of folded(name)) hash = Math.imul(hash ^ (character.codePointAt(0) ?? 0), 16777619)
  return (hash >>> 0) % count
}

/** 5 name begins with it, 4 a word does, 3 name contains it, 2 other texts do, 1 its letters occur in order, 0 nothing. */
function rankOf(application: Application, wanted: string): number {
  const name = folded(application.name)
  if (name.startsWith(wanted)) return 5
  if (name.split(/[^\p{L}\p{N}]+/u).some(word => word.startsWith(wanted))) return 4
  if (name.includes(wanted)) return 3
  const others = [
    application.group,
    application.meta_publisher,
    application.meta_description,
    application.slug,
  ]
  if (others.some(text => folded(text).includes(wanted))) return 2
  return inOrder(name, wanted) ? 1 : 0
}

function inOrder(text: string, letters: string): boolean {
  let at = 0
  for (const letter of letters) {
    at = text.indexOf(letter, at)
    if (at < 0) return false
    at += letter.length
  }
  return true
}

function folded(text: string): string {
  return text.normalize('NFKD').replace(/\p{M}/gu, '').toLowerCase().trim()
}

function byName(a: Application, b: Application): number {
  return a.name.localeCompare(b.name)
}
