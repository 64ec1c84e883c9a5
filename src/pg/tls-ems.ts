// TLS 1.2 is only as good as its Extended Master Secret (RFC 7627); Node does not say whether it was negotiated. The serialised
// session does: OpenSSL's SSL_SESSION structure keeps it in the flags, context tag 13, bit 0.

/**
 * Whether a TLS 1.2 session was made with the Extended Master Secret.
 * @param session what `TLSSocket.getSession()` gives: the DER structure, with or without a prefix of Node's own
 * @returns undefined when the layout is not the known one; treat that as a failure
 */
export function hasExtendedMasterSecret(session: Buffer): boolean | undefined {
  for (let start = 0; start < session.length - 8; start++) {
    if (session[start] !== 0x30) continue
    const flags = sessionFlags(session, start)
    if (flags !== undefined) return (flags & 1) === 1
  }
  return undefined
}

interface Element {
  tag: number
  /** first byte of the content */
  start: number
  /** first byte after it */
  end: number
}

/** Flags of the SSL_SESSION that begins at `start`: 0 when it has none, undefined when none begins there. */
function sessionFlags(der: Buffer, start: number): number | undefined {
  const sequence = readElement(der, start)
  if (sequence === undefined || sequence.end > der.length) return undefined
  const version = readElement(der, sequence.start)
  const protocol = version && readElement(der, version.end)
  const cipher = protocol && readElement(der, protocol.end)
  if (version === undefined || protocol === undefined || cipher === undefined) return undefined
  const known =
    isOf(version, 0x02, 1) && isOf(protocol, 0x02, 2) && der[protocol.start] === 3 && isOf(cipher, 0x04, 2)
  if (!known) return undefined
  for (let at = cipher.end; at < sequence.end; ) {
    const element = readElement(der, at)
    if (element === undefined || element.end > sequence.end) return undefined
    if (element.tag === 0xad) {
      const integer = readElement(der, element.start)
      if (integer === undefined || integer.tag !== 0x02 || integer.end > element.end) return undefined
      return der[integer.end - 1]
    }
    at = element.end
  }
  return 0
}

function isOf(element: Element, tag: number, length: number): boolean {
  return element.tag === tag && element.end - element.start === length
}

function readElement(der: Buffer, at: number): Element | undefined {
  const tag = der[at]
  const first = der[at + 1]
  if (tag === undefined || first === undefined) return undefined
  if (first < 0x80) return { tag, start: at + 2, end: at + 2 + first }
  const count = first & 0x7f
  if (count === 0 || count > 4 || at + 2 + count > der.length) return undefined
  const length = der.readUIntBE(at + 2, count)
  return { tag, start: at + 2 + count, end: at + 2 + count + length }
}
