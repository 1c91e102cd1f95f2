// Asks Souk for a forecast, as a caller in production should: a deadline on each call, what was refused tried again
// when the server said and within a budget, calls spread over all servers, TLS.
//
//	npx @bufbuild/buf generate ../../../proto
//	go run . -servers dns:///localhost:50051
//	go run . -servers dns:///souk-headless.shop:50051 -roots ca.pem -cert client.pem -key client.key -token token
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"log"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	_ "google.golang.org/grpc/health" // Asks each server whether it serves; see healthCheckConfig.
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"

	soukv1 "souk.example/client/gen/souk/v1"
)

// Calls take turns over all servers that say SERVING. What a server that drains or vanished did not begin is tried at
// another one; the throttle stops that where most calls fail. RESOURCE_EXHAUSTED is not for this list: gRPC's own
// retries know nothing of RetryInfo.
const serviceConfig = `{
	"loadBalancingConfig": [{"round_robin": {}}],
	"healthCheckConfig": {"serviceName": ""},
	"methodConfig": [{"name": [{}], "retryPolicy": {
		"maxAttempts": 3, "initialBackoff": "0.02s", "maxBackoff": "0.5s", "backoffMultiplier": 2,
		"retryableStatusCodes": ["UNAVAILABLE"]
	}}],
	"retryThrottling": {"maxTokens": 10, "tokenRatio": 0.1}
}`

// The first wait before another try, and the longest.
const firstBackoff, longestBackoff = 20 * time.Millisecond, time.Second

// Budget bounds how many calls are tries again: so many at once, and one for ten that succeed after that. Without it
// callers would double the load of servers that have too much already. One is shared by all calls.
type Budget struct {
	mutex        sync.Mutex
	tokens, most float64
}

// NewBudget is full.
func NewBudget(tries float64) *Budget { return &Budget{tokens: tries, most: tries} }

func (b *Budget) succeeded() {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	b.tokens = min(b.tokens+0.1, b.most)
}

func (b *Budget) take() bool {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}

// Options of a connection. Files are PEM; without Roots the connection is plain.
type Options struct {
	Servers          string        // "dns:///host:port", of which every address counts, or "host:port,host:port"
	Deadline         time.Duration // of calls whose context has none
	Budget           *Budget
	Roots, Cert, Key string // who the servers must be signed by; who this client is
	Token            string // file with a bearer token, sent over TLS alone; read for each call
	OnRetry          func(asked, wait time.Duration)
}

// Dial makes a connection to all servers; it reaches out when the first call is made.
func Dial(o Options) (*grpc.ClientConn, error) {
	secured, err := o.credentials()
	if err != nil {
		return nil, err
	}
	options := []grpc.DialOption{
		grpc.WithTransportCredentials(secured),
		grpc.WithDefaultServiceConfig(serviceConfig),
		grpc.WithChainUnaryInterceptor(o.withDeadline, o.again),
	}
	if o.Token != "" {
		options = append(options, grpc.WithPerRPCCredentials(bearer(o.Token)))
	}
	if strings.Contains(o.Servers, "://") || !strings.Contains(o.Servers, ",") {
		return grpc.NewClient(o.Servers, options...)
	}
	return grpc.NewClient("list:///servers", append(options, grpc.WithResolvers(listed(o.Servers)))...)
}

// A resolver that knows its servers from the start.
func listed(servers string) resolver.Builder {
	list := manual.NewBuilderWithScheme("list")
	var state resolver.State
	for _, server := range strings.Split(servers, ",") {
		host, _, _ := net.SplitHostPort(server)
		address := resolver.Address{Addr: server, ServerName: host}
		state.Endpoints = append(state.Endpoints, resolver.Endpoint{Addresses: []resolver.Address{address}})
	}
	list.InitialState(state)
	return list
}

func (o Options) credentials() (credentials.TransportCredentials, error) {
	if o.Roots == "" {
		return insecure.NewCredentials(), nil
	}
	pem, err := os.ReadFile(o.Roots)
	if err != nil {
		return nil, err
	}
	config := &tls.Config{RootCAs: x509.NewCertPool()}
	if !config.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s: no certificate", o.Roots)
	}
	if o.Cert != "" {
		// Read at each handshake, so that files may be renewed.
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			pair, err := tls.LoadX509KeyPair(o.Cert, o.Key)
			return &pair, err
		}
	}
	return credentials.NewTLS(config), nil
}

// The file of a bearer token.
type bearer string

func (file bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	token, err := os.ReadFile(string(file))
	return map[string]string{"authorization": "Bearer " + strings.TrimSpace(string(token))}, err
}

func (bearer) RequireTransportSecurity() bool { return true }

// Servers plan by a call's deadline: what can't be answered in time is refused at once.
func (o Options) withDeadline(ctx context.Context, method string, request, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, options ...grpc.CallOption) error {
	if _, has := ctx.Deadline(); !has {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, o.Deadline)
		defer cancel()
	}
	return invoke(ctx, method, request, reply, conn, options...)
}

// Tries again what was refused for now, for as long as deadline and budget allow.
func (o Options) again(ctx context.Context, method string, request, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, options ...grpc.CallOption) error {
	for backoff := firstBackoff; ; backoff = min(2*backoff, longestBackoff) {
		err := invoke(ctx, method, request, reply, conn, options...)
		if err == nil {
			o.Budget.succeeded()
			return nil
		}
		asked, refused := retryInfo(err)
		// Never sooner than asked; by chance, so that who was refused together does not come back together.
		wait := asked + backoff/2 + rand.N(backoff/2)
		deadline, has := ctx.Deadline()
		if !refused || has && time.Until(deadline) < wait || !o.Budget.take() {
			return err
		}
		if o.OnRetry != nil {
			o.OnRetry(asked, wait)
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return status.FromContextError(ctx.Err()).Err()
		}
	}
}

// How long the server asks to wait, of a call that it refused and that may be tried again. A message that is too
// large is RESOURCE_EXHAUSTED too, without RetryInfo, and stays too large.
func retryInfo(err error) (time.Duration, bool) {
	refusal := status.Convert(err)
	if refusal.Code() != codes.ResourceExhausted {
		return 0, false
	}
	for _, detail := range refusal.Details() {
		if info, ok := detail.(*errdetails.RetryInfo); ok {
			return info.GetRetryDelay().AsDuration(), true
		}
	}
	return 0, false
}

// Noodles is a merchant of whom little is known.
func noodles() *soukv1.PredictGmvRequest {
	country, city, days := "CN", "杭州", 300.0
	return &soukv1.PredictGmvRequest{
		Merchants: []*soukv1.Merchant{{
			MerchantId: "noodles-42",
			AsOf:       "2016-10-02",
			Features: &soukv1.MerchantFeatures{
				Country: &country, City: &city, TenureDays: &days,
				DailyGmv: []float64{860, 912, 1010, 1284, 1302, 795, 804, 871, 930, 1044, 1310, 1275, 820, 841},
			},
		}},
		Quantiles: []float64{0.1, 0.5, 0.9},
	}
}

func main() {
	o := Options{Budget: NewBudget(10)}
	flag.StringVar(&o.Servers, "servers", "dns:///localhost:50051", "a target of gRPC, or host:port,host:port")
	flag.DurationVar(&o.Deadline, "deadline", 500*time.Millisecond, "of a call, tries again included")
	flag.StringVar(&o.Roots, "roots", "", "certificates that servers must be signed by; without it no TLS")
	flag.StringVar(&o.Cert, "cert", "", "this client's certificate")
	flag.StringVar(&o.Key, "key", "", "its key")
	flag.StringVar(&o.Token, "token", "", "file with a bearer token")
	flag.Parse()
	if err := ask(o); err != nil {
		log.Fatal(err)
	}
}

func ask(o Options) error {
	conn, err := Dial(o)
	if err != nil {
		return err
	}
	defer conn.Close()
	reply, err := soukv1.NewMerchantGmvServiceClient(conn).PredictGmv(context.Background(), noodles())
	if err != nil {
		return err
	}
	// A bad row fails alone: the call is OK, and its own result says why.
	result := reply.GetResults()[0]
	if failed := result.GetError(); failed != nil {
		return errors.New(failed.GetMessage())
	}
	fmt.Println(protojson.Format(result.GetForecast()))
	return nil
}
