// Real front proxies in front of an application, configured by the files of examples/ with nothing but names, paths and ports replaced.
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { programPath, startFront, testFolder } from './front-proxy.ts'

export interface FrontOptions {
  port: number
  /** host names without port */
  hosts: string[]
  upstreamPort: number
  outpostPort: number
  /** domain mode: the host, with port, that all logins go through */
  loginHost?: string
  /** further outposts to balance over */
  moreOutposts?: number[]
  /** how long it waits for the outpost, in place of the 10 s of the examples */
  waitMs?: number
}

export type StartFront = (t: TestContext, options: FrontOptions) => Promise<void>

const examples = join(import.meta.dirname, '../../examples')

/** nginx with `auth_request`, as examples/nginx says. */
export async function startNginx(t: TestContext, options: FrontOptions): Promise<void> {
  const program = programPath('nginx', 'nginx-light')
  const folder = await testFolder(t)
  const example = await readFile(join(examples, 'nginx/app.conf'), 'utf8')
  const login = 'return 302 $scheme://$http_host/outpost.goauthentik.io/start'
  const server = withPorts(example, options)
    .replace('listen 80;', `listen 127.0.0.1:${options.port};`)
    .replace('server_name app.example;', `server_name ${options.hosts.join(' ')};`)
    .replace(login, options.loginHost === undefined ? login : login.replace('$http_host', options.loginHost))
  const file = join(folder, 'nginx.conf')
  await mkdir(join(folder, 'tmp'))
  await writeFile(file, nginxConf(folder, server))
  const args = ['-c', file, '-p', folder, '-e', join(folder, 'error.log')]
  await startFront(t, { program, args, port: options.port })
}

/** Caddy with `forward_auth`, as examples/caddy says. */
export async function startCaddy(t: TestContext, options: FrontOptions): Promise<void> {
  const program = programPath('caddy', 'caddy')
  const folder = await testFolder(t)
  const example = await readFile(join(examples, 'caddy/Caddyfile'), 'utf8')
  const addresses = options.hosts.map(host => `http://${host}:${options.port}`).join(', ')
  const site = withPorts(example, options).replace('http://app.example {', `${addresses} {\n\tbind 127.0.0.1`)
  const file = join(folder, 'Caddyfile')
  await writeFile(file, `{\n\tadmin off\n\tauto_https off\n}\n${site}`)
  const env = { XDG_DATA_HOME: folder, XDG_CONFIG_HOME: folder, HOME: folder }
  const args = ['run', '--config', file, '--adapter', 'caddyfile']
  await startFront(t, { program, args, port: options.port, env })
}

/** HAProxy with the Lua action of examples/haproxy. */
export function startHaproxy(t: TestContext, options: FrontOptions): Promise<void> {
  return haproxy(t, options, 'haproxy.cfg')
}

/** HAProxy in front of an outpost that passes requests on itself. */
export function startHaproxyThrough(t: TestContext, options: FrontOptions): Promise<void> {
  return haproxy(t, options, 'through-outpost.cfg')
}

async function haproxy(t: TestContext, options: FrontOptions, name: string): Promise<void> {
  const program = programPath('haproxy', 'haproxy')
  const folder = await testFolder(t)
  const example = await readFile(join(examples, 'haproxy', name), 'utf8')
  const config = withPorts(example, options)
    .replace(/^( +server outpost)1 .*$/m, (line, server: string) =>
      [
        line,
        ...(options.moreOutposts ?? []).map((port, at) => `${server}${at + 2} 127.0.0.1:${port} check`),
      ].join('\n'),
    )
    .replace('timeout server 60s', `timeout server ${options.waitMs ?? 60_000}ms`)
    .replace('bind :80', `bind 127.0.0.1:${options.port}`)
    .replaceAll('/etc/haproxy/postern.lua', join(examples, 'haproxy/postern.lua'))
  const file = join(folder, 'haproxy.cfg')
  await writeFile(file, config)
  await startFront(t, { program, args: ['-db', '-f', file], port: options.port })
}

/** HAProxy's Lua client tries four times. */
function withPorts(example: string, { upstreamPort, outpostPort, waitMs = 10_000 }: FrontOptions): string {
  return example
    .replaceAll('127.0.0.1:8080', `127.0.0.1:${upstreamPort}`)
    .replaceAll('127.0.0.1:9000', `127.0.0.1:${outpostPort}`)
    .replace('proxy_read_timeout 10s', `proxy_read_timeout ${waitMs}ms`)
    .replace('response_header_timeout 10s', `response_header_timeout ${waitMs}ms`)
    .replace(' 2500 unless outpost', ` ${waitMs / 4} unless outpost`)
}

/** nginx keeps everything in the folder, so that it runs as anyone and beside others. */
function nginxConf(folder: string, server: string): string {
  const temp = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map(name => `${name}_temp_path ${folder}/tmp/${name};`)
    .join('\n')
  return `daemon off;
master_process off;
pid ${folder}/nginx.pid;
error_log ${folder}/error.log;
events {}
http {
access_log off;
${temp}
include ${join(examples, 'nginx/postern.conf')};
${server}
}
`
}
