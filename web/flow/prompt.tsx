import { Button, Checkbox, NativeSelect, Radio, Textarea, TextInput } from '@mantine/core'
import { type FormEvent, useState } from 'react'
import { type Challenge, errorFor, otherErrors, type StageProps } from './challenge.ts'
import { ErrorSummary, Heading, HiddenUsername, SecretField, StageForm } from './parts.tsx'
import { answerOf, asksSomething, type PromptField, promptFields } from './prompt-field.ts'
import { passwordStrength } from './strength.ts'

/** Any form the server describes: enrolment, a new password, the initial set-up. */
export function Prompt({ challenge, busy, submit }: StageProps) {
  const fields = promptFields(challenge)
  const asked = fields.filter(asksSomething)
  const [typed, setTyped] = useState<Record<string, string>>({})
  const secret = asked.find(field => field.type === 'password')
  const hasName = asked.some(field => field.type === 'username')

  const onInput = (event: FormEvent) => {
    const { name, value } = event.target as HTMLInputElement
    if (secret !== undefined) setTyped(previous => ({ ...previous, [name]: value }))
  }
  const onAnswer = (form: FormData) =>
    submit(Object.fromEntries(asked.map(field => [field.key, answerOf(field, form)])))
  return (
    <StageForm busy={busy} onAnswer={onAnswer}>
      <Heading>{challenge.flow_info?.title || 'Please fill in'}</Heading>
      <ErrorSummary
        messages={otherErrors(
          challenge,
          asked.map(field => field.key),
        )}
      />
      {!hasName && (challenge.pending_user ?? '') !== '' && (
        <HiddenUsername value={challenge.pending_user ?? ''} />
      )}
      <div className="fields" onInput={onInput}>
        {fields.map(field => (
          <div key={field.key}>
            <Field field={field} challenge={challenge} />
            {field === secret && <StrengthHint typed={typed} field={field} />}
          </div>
        ))}
      </div>
      <Button type="submit" fullWidth loading={busy}>
        Continue
      </Button>
    </StageForm>
  )
}

function StrengthHint({ typed, field }: { typed: Record<string, string>; field: PromptField }) {
  const others = Object.entries(typed).flatMap(([key, value]) => (key.startsWith('password') ? [] : [value]))
  const { score, hint } = passwordStrength(typed[field.key] ?? '', others)
  return (
    <div className="strength">
      <div className="strength-bar" data-score={score} aria-hidden="true">
        {[1, 2, 3, 4].map(step => (
          <span key={step} data-on={score >= step} />
        ))}
      </div>
      <span aria-live="polite">{hint}</span>
    </div>
  )
}

function Field({ field, challenge }: { field: PromptField; challenge: Challenge }) {
  const shared = {
    name: field.key,
    label: field.label,
    description: field.hint || undefined,
    required: field.required,
    withAsterisk: false,
    placeholder: field.placeholder || undefined,
    error: errorFor(challenge, field.key),
  }
  switch (field.type) {
    case 'password':
      return (
        <SecretField
          name={field.key}
          label={field.label}
          description={shared.description}
          required={field.required}
          error={shared.error}
          autoComplete="new-password"
          reveal
          challenge={challenge}
        />
      )
    case 'text_area':
    case 'text_area_read_only':
      return (
        <Textarea {...shared} defaultValue={field.initial} readOnly={field.type !== 'text_area'} rows={4} />
      )
    case 'checkbox':
      return <Checkbox {...shared} defaultChecked={field.initial === 'true' || field.initial === 'True'} />
    case 'radio-button-group':
      return <Choices field={field} error={shared.error} />
    case 'dropdown':
    case 'ak-locale':
      return <NativeSelect {...shared} data={field.choices} defaultValue={field.initial} />
    case 'hidden':
      return <input type="hidden" name={field.key} value={field.initial} />
    case 'separator':
      return <hr className="separator" />
    case 'static':
      return <p className="lead">{field.initial || field.label}</p>
    case 'alert_info':
    case 'alert_warning':
    case 'alert_danger':
      return (
        <div className="notice" data-tone={field.type.slice('alert_'.length)}>
          {field.initial || field.label}
        </div>
      )
    default:
      return <TextInput {...shared} {...inputFor(field)} defaultValue={field.initial} />
  }
}

function Choices({ field, error }: { field: PromptField; error: string | undefined }) {
  return (
    <Radio.Group
      name={field.key}
      label={field.label}
      description={field.hint || undefined}
      defaultValue={field.initial}
      error={error}
    >
      <div className="choices">
        {field.choices.map(choice => (
          <Radio key={choice.value} value={choice.value} label={choice.label} />
        ))}
      </div>
    </Radio.Group>
  )
}

/** The kind of input, so that the browser offers the right keyboard, picker and saved values. */
function inputFor(field: PromptField) {
  switch (field.type) {
    case 'username':
      return { autoComplete: 'username', autoCapitalize: 'none', spellCheck: false }
    case 'email':
      return { type: 'email', autoComplete: 'email' }
    case 'number':
      return { type: 'number' }
    case 'date':
      return { type: 'date' }
    case 'date-time':
      return { type: 'datetime-local' }
    case 'text_read_only':
      return { readOnly: true }
    default:
      return {}
  }
}
