// A server of its own for a test: ports that are free, and copies of the shipped models.

import { spawn } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';

const ROOT = resolve(import.meta.dirname, '../../..');

/** The program; `make test-page` says where it is. */
const PROGRAM = process.env.SOUK_PROGRAM ?? join(ROOT, 'target/debug/souk');

/** Milliseconds that a start may take on a busy machine. */
const PATIENCE = 60_000;

export class Server {
  #child;
  #folder;
  #models;

  /** Starts with version 1 of these shipped models, and waits until it is ready. */
  static async start(models = ['merchant_gmv', 'user_portrait']) {
    const server = new Server();
    server.#folder = mkdtempSync(join(tmpdir(), 'souk-page-'));
    server.#models = join(server.#folder, 'models');
    mkdirSync(server.#models);
    models.forEach((model) => server.publish(model, 1));
    await server.#listen(models.length > 0 ? 'SERVING' : 'listening');
    return server;
  }

  /** Starts it anew where it was, after `stop`. */
  async again() {
    await this.#listen('SERVING');
  }

  async #listen(message) {
    const any = '127.0.0.1:0';
    const env = { ...process.env, SOUK__TELEMETRY__LOG_FORMAT: 'json', SOUK__MODELS__ROOT: this.#models,
      SOUK__SERVER__LISTEN: any, SOUK__SERVER__HTTP_LISTEN: this.http ?? any, SOUK__SERVER__ADMIN_LISTEN: any };
    this.#child = spawn(PROGRAM, ['serve'], { cwd: this.#folder, env, stdio: ['ignore', 'ignore', 'pipe'] });
    const lines = [];
    await new Promise((done, failed) => {
      const told = () => failed(new Error(`${PROGRAM} says no ${message}:\n${lines.join('\n')}`));
      const late = setTimeout(told, PATIENCE);
      this.#child.once('error', failed).once('exit', told);
      createInterface({ input: this.#child.stderr }).on('line', (line) => {
        lines.push(line);
        const said = JSON.parse(line);
        if (said.message?.startsWith('listening')) Object.assign(this, { grpc: said.grpc, http: said.http, admin: said.admin });
        if (said.message?.startsWith(message)) { clearTimeout(late); done(); }
      });
    });
  }

  /** The page. */
  get url() {
    return `http://${this.http}/`;
  }

  /** Puts a copy of the shipped version 1 there by another number, in one step, as people should. */
  publish(model, number, bend = (manifest) => manifest) {
    const [made, place] = [join(this.#models, `.${model}-${number}`), join(this.#models, model, String(number))];
    cpSync(join(ROOT, 'models', model, '1'), made, { recursive: true });
    const manifest = JSON.parse(readFileSync(join(made, 'manifest.json'), 'utf8'));
    writeFileSync(join(made, 'manifest.json'), JSON.stringify(bend({ ...manifest, version: number })));
    mkdirSync(join(this.#models, model), { recursive: true });
    renameSync(made, place);
  }

  /** Runs `souk` with these arguments against the admin port. */
  async souk(...args) {
    const child = spawn(PROGRAM, [...args, '--addr', `http://${this.admin}`], { stdio: ['ignore', 'ignore', 'pipe'] });
    let said = '';
    child.stderr.on('data', (text) => { said += text; });
    const code = await new Promise((done) => child.once('exit', done));
    if (code !== 0) throw new Error(`souk ${args.join(' ')}: ${said}`);
  }

  /** Ends it at once. */
  async stop() {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = new Promise((done) => this.#child.once('exit', done));
    this.#child.kill('SIGKILL');
    await ended;
  }

  /** Ends it; its folder goes with it. */
  async remove() {
    await this.stop();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
