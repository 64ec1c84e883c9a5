import { type Challenge, listOf } from './challenge.ts'

export interface Choice {
  value: string
  label: string
}

/** One field of a prompt, with every missing part filled in. */
export interface PromptField {
  key: string
  type: string
  label: string
  required: boolean
  placeholder: string
  initial: string
  hint: string
  choices: Choice[]
}

// Types that show something and ask nothing.
const silent = new Set(['static', 'separator', 'alert_info', 'alert_warning', 'alert_danger'])

/** The fields of a prompt challenge in the order they are shown; entries without a key are left out. */
export function promptFields(challenge: Challenge): PromptField[] {
  return listOf(challenge, 'fields')
    .filter(raw => typeof raw.field_key === 'string')
    .map(raw => ({ order: typeof raw.order === 'number' ? raw.order : 0, field: fieldOf(raw) }))
    .sort((a, b) => a.order - b.order)
    .map(entry => entry.field)
}

/** Whether a field sends something back. */
export function asksSomething(field: PromptField): boolean {
  return !silent.has(field.type)
}

/** What a field sends: a boolean, a number, or text. */
export function answerOf(field: PromptField, form: FormData): unknown {
  if (field.type === 'checkbox') return form.has(field.key)
  const value = form.get(field.key)
  const text = typeof value === 'string' ? value : ''
  if (field.type === 'number') return text === '' ? null : Number(text)
  return text
}

function fieldOf(raw: Record<string, unknown>): PromptField {
  return {
    key: String(raw.field_key),
    type: text(raw.type) || 'text',
    label: text(raw.label),
    required: raw.required === true,
    placeholder: text(raw.placeholder),
    initial: text(raw.initial_value),
    hint: text(raw.sub_text),
    choices: Array.isArray(raw.choices) ? raw.choices.map(choiceOf) : [],
  }
}

function choiceOf(raw: unknown): Choice {
  if (raw === null || typeof raw !== 'object') return { value: String(raw), label: String(raw) }
  const { value, label } = raw as Record<string, unknown>
  return { value: text(value), label: text(label) || text(value) }
}

function text(value: unknown): string {
  return typeof value === 'string'
    ? value
    : typeof value === 'number' || typeof value === 'boolean'
      ? String(value)
      : ''
}
