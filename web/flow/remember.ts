// The user name of the last sign-in, kept by this browser when its user asked for it. Never a password.

const key = 'postern.username'

/** @returns the kept user name; empty when there is none or the browser keeps nothing */
export function rememberedUsername(): string {
  try {
    return localStorage.getItem(key) ?? ''
  } catch {
    return ''
  }
}

/** Keeps the user name on this device. Without storage (private windows) it does nothing. */
export function rememberUsername(name: string): void {
  try {
    localStorage.setItem(key, name)
  } catch {
    // A convenience only: signing in goes on.
  }
}

/** Forgets the kept user name. */
export function forgetUsername(): void {
  try {
    localStorage.removeItem(key)
  } catch {
    // Nothing was kept.
  }
}
