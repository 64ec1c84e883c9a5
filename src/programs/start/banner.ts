// What `npm start` tells the person in front of it.

export interface BannerFacts {
  coreUrl: string
  demoUrl: string
  /** address of the standalone outpost once `npm run proxy` runs */
  standaloneUrl?: string
  /** shown once, at the first start */
  password?: string
  passwordFile?: string
  dataDirectory: string
  ownDatabase: boolean
  colour: boolean
}

/** The text for stdout, with a final newline. */
export function banner(facts: BannerFacts): string {
  const strong = (text: string) => (facts.colour ? `\x1b[1m${text}\x1b[22m` : text)
  const soft = (text: string) => (facts.colour ? `\x1b[2m${text}\x1b[22m` : text)
  const rows: [string, string][] = [
    ['Demo application', strong(facts.demoUrl)],
    ['Core', strong(facts.coreUrl)],
    ['User name', strong('akadmin')],
  ]
  if (facts.password !== undefined)
    rows.push([
      'Password',
      `${strong(facts.password)}  ${soft(`(shown once; kept in ${facts.passwordFile})`)}`,
    ])
  else if (facts.passwordFile !== undefined) rows.push(['Password', `in ${facts.passwordFile}`])
  else rows.push(['Password', 'as given in AUTHENTIK_BOOTSTRAP_PASSWORD at the first start'])
  const width = Math.max(...rows.map(([label]) => label.length)) + 3
  const next = [
    'Open the demo application, sign in, and it tells who you are. Sign out, and it is closed.',
    ...(facts.standaloneUrl === undefined
      ? []
      : [
          `In a second terminal:  npm run proxy  starts a standalone outpost for it at ${facts.standaloneUrl}`,
          'Kill it, start it again: you are still signed in.',
        ]),
  ]
  return [
    '',
    strong('Postern is running.'),
    '',
    ...rows.map(([label, value]) => `  ${label.padEnd(width)}${value}`),
    '',
    'What to try next',
    ...next.map(line => `  ${line}`),
    '',
    soft(
      `Ctrl-C stops it; ${facts.ownDatabase ? 'database and keys stay' : 'keys stay'} in ${facts.dataDirectory}`,
    ),
    '',
    '',
  ].join('\n')
}
