/**
 * Asks Souk for a forecast, as a caller in production should: a deadline on each call, what was refused tried again
 * when the server said and within a budget, calls spread over all servers, TLS.
 *
 *     npm ci && npm run generate && npm run build
 *     node dist/client.js --servers dns:///localhost:50051
 *     node dist/client.js --servers dns:///souk-headless.shop:50051 \
 *         --roots ca.pem --cert client.pem --key client.key --token token
 */
import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";

import {
  type CallOptions,
  ChannelCredentials,
  type ClientUnaryCall,
  credentials,
  Metadata,
  type ServiceError,
  status,
} from "@grpc/grpc-js";

import { RetryInfo, Status } from "./gen/google/rpc/refusal.js";
import { MerchantGmvServiceClient, PredictGmvRequest } from "./gen/souk/v1/merchant_gmv.js";

/**
 * Calls take turns over all servers. What a server that drains or vanished did not begin is tried at another one; the
 * throttle stops that where most calls fail. RESOURCE_EXHAUSTED is not for this list: gRPC's own retries know nothing
 * of RetryInfo.
 */
const SERVICE_CONFIG = {
  loadBalancingConfig: [{ round_robin: {} }],
  methodConfig: [
    {
      name: [{}],
      retryPolicy: {
        maxAttempts: 3,
        initialBackoff: "0.02s",
        maxBackoff: "0.5s",
        backoffMultiplier: 2,
        retryableStatusCodes: ["UNAVAILABLE"],
      },
    },
  ],
  retryThrottling: { maxTokens: 10, tokenRatio: 0.1 },
};

/** The first wait before another try, and the longest. */
const [FIRST_BACKOFF_MS, LONGEST_BACKOFF_MS] = [20, 1000];

/**
 * Bounds how many calls are tries again: so many at once, and one for ten that succeed after that. Without it callers
 * would double the load of servers that have too much already. One is shared by all calls.
 */
export class Budget {
  #tokens: number;
  readonly #most: number;

  constructor(tries = 10) {
    this.#tokens = this.#most = tries;
  }

  succeeded(): void {
    this.#tokens = Math.min(this.#tokens + 0.1, this.#most);
  }

  take(): boolean {
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }
}

/** Of a connection. Files are PEM; without `roots` it is plain. */
export interface Options {
  /** A target of gRPC: `dns:///host:port`, of which every address counts, or `ipv4:1.2.3.4:5,1.2.3.5:5`. */
  servers: string;
  /** Of a call, tries again included. */
  deadlineMs?: number;
  budget?: Budget;
  /** Who the servers must be signed by; who this client is. */
  roots?: string;
  cert?: string;
  key?: string;
  /** File with a bearer token, sent over TLS alone; read for each call. */
  token?: string;
  onRetry?: (askedMs: number, waitMs: number) => void;
}

/** A connection to all servers; it reaches out when the first call is made. */
export function connect(options: Options): MerchantGmvServiceClient {
  return new MerchantGmvServiceClient(options.servers, secured(options), {
    "grpc.service_config": JSON.stringify(SERVICE_CONFIG),
  });
}

function secured({ roots, cert, key, token }: Options): ChannelCredentials {
  if (roots === undefined) return credentials.createInsecure();
  const read = (file?: string) => (file === undefined ? null : readFileSync(file));
  const channel = credentials.createSsl(read(roots), read(key), read(cert));
  if (token === undefined) return channel;
  const bearer = credentials.createFromMetadataGenerator((_call, callback) => {
    readFile(token, "utf8").then((text) => {
      const metadata = new Metadata();
      metadata.set("authorization", `Bearer ${text.trim()}`);
      callback(null, metadata);
    }, callback);
  });
  return credentials.combineChannelCredentials(channel, bearer);
}

/** A unary method of a generated client. */
type Method<Request, Reply> = (
  request: Request,
  metadata: Metadata,
  options: Partial<CallOptions>,
  callback: (error: ServiceError | null, reply: Reply) => void,
) => ClientUnaryCall;

const SHARED = new Budget();

/** Calls; tries again what was refused for now, for as long as deadline and budget allow. */
export async function call<Request, Reply>(
  method: Method<Request, Reply>,
  request: Request,
  { deadlineMs = 500, budget = SHARED, onRetry }: Partial<Options> = {},
): Promise<Reply> {
  // Servers plan by a call's deadline: what can't be answered in time is refused at once.
  const deadline = Date.now() + deadlineMs;
  for (let backoff = FIRST_BACKOFF_MS; ; backoff = Math.min(2 * backoff, LONGEST_BACKOFF_MS)) {
    try {
      const reply = await new Promise<Reply>((resolve, reject) => {
        method(request, new Metadata(), { deadline }, (error, reply) => (error ? reject(error) : resolve(reply)));
      });
      budget.succeeded();
      return reply;
    } catch (error) {
      const asked = retryInfo(error as ServiceError);
      // Never sooner than asked; by chance, so that who was refused together does not come back together.
      const wait = (asked ?? 0) + backoff * (0.5 + Math.random() / 2);
      if (asked === undefined || Date.now() + wait > deadline || !budget.take()) throw error;
      onRetry?.(asked, wait);
      await sleep(wait);
    }
  }
}

/**
 * How many milliseconds the server asks to wait, of a call that it refused and that may be tried again. A message that
 * is too large is RESOURCE_EXHAUSTED too, without RetryInfo, and stays too large.
 */
function retryInfo(error: ServiceError): number | undefined {
  if (error.code !== status.RESOURCE_EXHAUSTED) return undefined;
  const [packed] = error.metadata?.get("grpc-status-details-bin") ?? [];
  if (!(packed instanceof Buffer)) return undefined;
  const detail = Status.decode(packed).details.find(({ typeUrl }) => typeUrl.endsWith("/google.rpc.RetryInfo"));
  const delay = detail && RetryInfo.decode(detail.value).retryDelay;
  return delay && delay.seconds * 1e3 + delay.nanos / 1e6;
}

/** A merchant of whom little is known. */
export function noodles(): PredictGmvRequest {
  const dailyGmv = [860, 912, 1010, 1284, 1302, 795, 804, 871, 930, 1044, 1310, 1275, 820, 841];
  const features = { country: "CN", city: "杭州", tenureDays: 300, dailyGmv };
  return PredictGmvRequest.fromPartial({
    merchants: [{ merchantId: "noodles-42", asOf: "2016-10-02", features }],
    quantiles: [0.1, 0.5, 0.9],
  });
}

async function main(): Promise<void> {
  const text = { type: "string" } as const;
  const { values } = parseArgs({
    options: {
      servers: { ...text, default: "dns:///localhost:50051" },
      deadline: { ...text, default: "0.5" },
      roots: text,
      cert: text,
      key: text,
      token: text,
    },
  });
  const options: Options = { ...values, deadlineMs: Number(values.deadline) * 1000 };
  const client = connect(options);
  const { results } = await call(client.predictGmv.bind(client), noodles(), options);
  client.close();
  // A bad row fails alone: the call is OK, and its own result says why.
  const outcome = results[0].outcome;
  if (outcome?.$case === "error") throw new Error(outcome.value.message);
  console.log(JSON.stringify(outcome?.value, null, 2));
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) await main();
