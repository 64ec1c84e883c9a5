/** What stops a start because of settings: `message` has one line per problem, each naming the variable and what to do. */
export class SettingsError extends Error {
  readonly problems: readonly string[]
  constructor(problems: readonly string[], options?: ErrorOptions) {
    super(problems.join('\n'), options)
    this.name = 'SettingsError'
    this.problems = problems
  }
}

/** Why one text does not fit; begins with `must` and never holds the text itself. */
export class ParseError extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'ParseError'
  }
}
