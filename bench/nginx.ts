// A real nginx in front: as operators have it, with `auth_request` to whoever judges.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { endWithRun, temporaryFolder } from './left-over.ts'
import { freePort } from './started-program.ts'

export interface Front {
  /** of each site, in the order given */
  ports: number[]
  close(): Promise<void>
}

/**
 * Starts nginx with one worker and a site for each judge.
 * @param options.judges ports that are asked at the path of nginx's forward auth; null = a site without a judge
 * @param options.upstream port of the application
 * @throws Error when nginx does not start
 */
export async function startNginx(options: { judges: (number | null)[]; upstream: number }): Promise<Front> {
  const folder = await temporaryFolder('nginx')
  const ports: number[] = []
  for (const _ of options.judges) ports.push(await freePort())
  const sites = options.judges.map((judge, at) => site(at, ports[at] ?? 0, judge))
  const file = join(folder, 'nginx.conf')
  await writeFile(file, configuration(folder, options.upstream, sites))
  const child = spawn('nginx', ['-p', folder, '-c', file, '-g', 'daemon off;'], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  endWithRun(child, 'SIGTERM')
  let said = ''
  child.stderr.on('data', chunk => {
    said += chunk
  })
  const ended = once(child, 'exit').catch(() => {})
  const close = async () => {
    if (child.exitCode === null && child.pid !== undefined) child.kill('SIGTERM')
    await ended
    await rm(folder, { recursive: true, force: true })
  }
  for (let tries = 0; !(await answers(ports[0] ?? 0)); tries++) {
    if (child.exitCode !== null || child.pid === undefined || tries > 400) {
      await close()
      throw new Error(`nginx did not start: ${said}`)
    }
    await sleep(50)
  }
  return { ports, close }
}

function configuration(folder: string, upstream: number, sites: string[]): string {
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map(name => `${name}_temp_path ${folder}/${name};`)
    .join(' ')
  return `${process.getuid?.() === 0 ? 'user root;' : ''}
worker_processes 1; pid ${folder}/pid; error_log ${folder}/error.log error;
events { worker_connections 1024; }
http {
  access_log off; keepalive_requests 1000000; ${temporary}
  upstream application { server 127.0.0.1:${upstream}; keepalive 64; keepalive_requests 1000000; }
  ${sites.join('\n  ')}
}
`
}

function site(at: number, port: number, judge: number | null): string {
  const forwarded = 'proxy_http_version 1.1; proxy_set_header Connection "";'
  if (judge === null)
    return `server { listen 127.0.0.1:${port}; location / { ${forwarded} proxy_pass http://application; } }`
  return `upstream judge${at} { server 127.0.0.1:${judge}; keepalive 64; keepalive_requests 1000000; }
  server { listen 127.0.0.1:${port};
    location / { auth_request /judge; ${forwarded} proxy_pass http://application; }
    location = /judge { internal; ${forwarded} proxy_pass_request_body off; proxy_set_header Content-Length "";
      proxy_set_header Host judged.example; proxy_set_header X-Original-URL https://judged.example$request_uri;
      proxy_pass http://judge${at}/outpost.goauthentik.io/auth/nginx; } }`
}

async function answers(port: number): Promise<boolean> {
  try {
    await (await fetch(`http://127.0.0.1:${port}/`)).arrayBuffer()
    return true
  } catch {
    return false // not listening yet
  }
}
