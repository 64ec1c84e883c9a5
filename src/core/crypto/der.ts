// The few DER encodings (X.690) a certificate is made of. Values in, bytes out; nothing is parsed here.

export function derSequence(...items: Uint8Array[]): Buffer {
  return tagged(0x30, Buffer.concat(items))
}

export function derSet(...items: Uint8Array[]): Buffer {
  return tagged(0x31, Buffer.concat(items))
}

/** @param magnitude big-endian, not negative */
export function derInteger(magnitude: Uint8Array): Buffer {
  let start = 0
  while (start < magnitude.length - 1 && magnitude[start] === 0) start++
  const bytes = magnitude.subarray(start)
  return tagged(0x02, (bytes[0] ?? 0) >= 0x80 ? Buffer.concat([Buffer.of(0), bytes]) : bytes)
}

export function derBoolean(value: boolean): Buffer {
  return tagged(0x01, Buffer.of(value ? 0xff : 0))
}

export function derNull(): Buffer {
  return tagged(0x05, Buffer.alloc(0))
}

export function derOctetString(bytes: Uint8Array): Buffer {
  return tagged(0x04, bytes)
}

/** @param unusedBits of the last byte */
export function derBitString(bytes: Uint8Array, unusedBits = 0): Buffer {
  return tagged(0x03, Buffer.concat([Buffer.of(unusedBits), bytes]))
}

export function derUtf8String(text: string): Buffer {
  return tagged(0x0c, Buffer.from(text, 'utf8'))
}

/** UTCTime until 2049, GeneralizedTime from then on (RFC 5280 §4.1.2.5); whole seconds. */
export function derTime(time: Date): Buffer {
  const digits = `${time.toISOString().replaceAll(/[-:T]|\.\d+/g, '')}`
  return time.getUTCFullYear() < 2050
    ? tagged(0x17, Buffer.from(digits.slice(2)))
    : tagged(0x18, Buffer.from(digits))
}

/** @param dotted e.g. `2.5.4.3` */
export function derObjectIdentifier(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split('.').map(Number)
  return tagged(0x06, Buffer.from([first * 40 + second, ...rest.flatMap(base128)]))
}

/** `[number]` around complete encodings. */
export function derExplicit(number: number, ...items: Uint8Array[]): Buffer {
  return tagged(0xa0 + number, Buffer.concat(items))
}

/** `[number] IMPLICIT` of a primitive type: its content bytes alone. */
export function derImplicit(number: number, content: Uint8Array): Buffer {
  return tagged(0x80 + number, content)
}

function tagged(tag: number, content: Uint8Array): Buffer {
  return Buffer.concat([Buffer.of(tag), lengthBytes(content.length), content])
}

function lengthBytes(length: number): Buffer {
  if (length < 0x80) return Buffer.of(length)
  const bytes: number[] = []
  for (let rest = length; rest > 0; rest = Math.floor(rest / 256)) bytes.unshift(rest % 256)
  return Buffer.from([0x80 + bytes.length, ...bytes])
}

function base128(value: number): number[] {
  const bytes = [value % 128]
  for (let rest = Math.floor(value / 128); rest > 0; rest = Math.floor(rest / 128))
    bytes.unshift((rest % 128) + 128)
  return bytes
}
