// How our own programs are started here: as the launcher starts them.

/** Flags the launcher gives Node. */
export const launcherFlags = ['--max-semi-space-size=4']
