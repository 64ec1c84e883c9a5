import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { describe, it } from 'node:test'
import { readCertificate, requireMatchingKey } from './read-certificate.ts'
import { createSelfSigned, type SelfSignedRequest } from './self-signed.ts'

describe('self-signed certificates', () => {
  it('verifies under its own key, carries its names and lives as long as asked', async () => {
    const pair = await createSelfSigned({
      commonName: 'postern.example',
      alternativeNames: ['*.apps.example', '10.1.2.3', '::1', '2001:db8::7'],
      days: 30,
      algorithm: 'ecdsa',
    })
    const certificate = new X509Certificate(pair.certificatePem)
    assert.ok(certificate.verify(certificate.publicKey))
    assert.equal(certificate.checkHost('postern.example'), 'postern.example')
    assert.equal(certificate.checkHost('one.apps.example'), '*.apps.example')
    assert.equal(certificate.checkIP('10.1.2.3'), '10.1.2.3')
    assert.equal(certificate.checkIP('::1'), '::1')
    assert.equal(certificate.checkIP('2001:db8::7'), '2001:db8::7')
    assert.equal(certificate.checkIP('10.1.2.4'), undefined)
    assert.equal(certificate.ca, false)
    const facts = readCertificate(pair.certificatePem)
    assert.equal(facts.keyType, 'ec')
    assert.equal(facts.subject, 'CN=postern.example')
    assert.match(facts.fingerprintSha256, /^([0-9a-f]{2}:){31}[0-9a-f]{2}$/)
    assert.match(facts.fingerprintSha1, /^([0-9a-f]{2}:){19}[0-9a-f]{2}$/)
    assert.ok(Math.abs(facts.notAfter.getTime() - Date.now() - 30 * 86_400_000) < 60_000)
  })

  it('makes RSA keys of 4096 bits', async () => {
    const pair = await createSelfSigned({
      commonName: 'postern',
      alternativeNames: [],
      days: 1,
      algorithm: 'rsa',
    })
    const certificate = new X509Certificate(pair.certificatePem)
    assert.equal(certificate.publicKey.asymmetricKeyDetails?.modulusLength, 4096)
    requireMatchingKey(pair.certificatePem, pair.privateKeyPem)
  })

  it('takes a common name that is no host name without putting it among the names', async () => {
    const pair = await createSelfSigned({
      commonName: 'authentik Self-signed Certificate, O="x"',
      alternativeNames: ['localhost'],
      days: 1,
      algorithm: 'ecdsa',
    })
    const certificate = new X509Certificate(pair.certificatePem)
    assert.equal(certificate.subjectAltName, 'DNS:localhost')
    assert.match(certificate.subject, /^CN=authentik Self-signed Certificate/)
  })
})

describe('reading a certificate', () => {
  it('refuses a key of another certificate, a key with garbage and a text that is no certificate', async () => {
    const request: SelfSignedRequest = {
      commonName: 'a.example',
      alternativeNames: [],
      days: 1,
      algorithm: 'ecdsa',
    }
    const one = await createSelfSigned(request)
    const other = await createSelfSigned(request)
    requireMatchingKey(one.certificatePem, one.privateKeyPem)
    assert.throws(() => requireMatchingKey(one.certificatePem, other.privateKeyPem), /does not belong/)
    assert.throws(() => requireMatchingKey(one.certificatePem, 'nonsense'), /not a private key/)
    assert.throws(() => readCertificate('nonsense'), /not a certificate/)
    assert.throws(
      () => readCertificate('-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n'),
      /cannot be read/,
    )
  })
})
