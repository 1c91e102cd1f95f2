// Asks a server for forecasts and portraits, with the shipped models' own golden rows.

import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import grpc from '@grpc/grpc-js';
import loader from '@grpc/proto-loader';

const ROOT = resolve(import.meta.dirname, '../../..');

const QUESTIONS = [
  { model: 'merchant_gmv', proto: 'merchant_gmv', service: 'MerchantGmvService', method: 'PredictGmv', rows: 'merchants' },
  { model: 'user_portrait', proto: 'user_portrait', service: 'UserPortraitService', method: 'GetPortraits', rows: 'users' },
];

function golden(model) {
  const lines = readFileSync(join(ROOT, 'models', model, '1/golden.jsonl'), 'utf8').split('\n').filter(Boolean);
  return lines.map((line) => moments(JSON.parse(line).row));
}

/** Timestamps as the loader wants them: JSON has them as text. */
function moments(row) {
  row.features?.events?.forEach((event) => {
    const millis = Date.parse(event.time);
    event.time = { seconds: Math.floor(millis / 1000), nanos: (millis % 1000) * 1e6 };
  });
  return row;
}

function client(address, { proto, service }) {
  const options = { keepCase: true, includeDirs: [join(ROOT, 'proto')] };
  const loaded = grpc.loadPackageDefinition(loader.loadSync(`souk/v1/${proto}.proto`, options));
  return new loaded.souk.v1[service](address, grpc.credentials.createInsecure());
}

export class Load {
  #stopped = false;
  #clients = [];
  #loops = [];
  answered = 0;
  refused = 0;

  /** Has so many callers ask, each again `pause` milliseconds after its answer, until it is stopped. */
  constructor(address, { callers = 4, rows = 8, pause = 20 } = {}) {
    for (const question of QUESTIONS) {
      const asked = client(address, question);
      this.#clients.push(asked);
      const all = golden(question.model);
      for (let caller = 0; caller < callers; caller += 1) this.#loops.push(this.#ask(asked, question, all, { caller, rows, pause }));
    }
  }

  async #ask(asked, { method, rows: field }, all, { caller, rows, pause }) {
    for (let turn = caller; !this.#stopped; turn += 1) {
      const some = Array.from({ length: rows }, (_, index) => {
        const row = all[(turn * rows + index) % all.length];
        // Shares are by id, and golden rows have few.
        const id = 'merchant_id' in row ? 'merchant_id' : 'user_id';
        return { ...row, [id]: `${turn}-${index}` };
      });
      await this.#one(asked, method, { [field]: some });
      await new Promise((done) => setTimeout(done, pause));
    }
  }

  #one(asked, method, request) {
    const deadline = new Date(Date.now() + 5000);
    return new Promise((done) => asked[method](request, { deadline }, (error) => {
      if (error) this.refused += 1;
      else this.answered += 1;
      done();
    }));
  }

  async stop() {
    this.#stopped = true;
    await Promise.all(this.#loops);
    this.#clients.forEach((asked) => asked.close());
  }
}
