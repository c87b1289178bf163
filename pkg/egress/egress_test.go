package egress_test

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/commandcenter/commandcenter/pkg/egress"
	"github.com/commandcenter/commandcenter/pkg/errs"
)

// inside are addresses that nobody from outside may reach.
var inside = []string{
	"127.0.0.1", "127.255.255.254", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.0.1", "169.254.169.254", "169.254.170.2", "100.64.0.1", "100.100.100.200", "0.0.0.0", "192.0.0.192",
}

// inside6 are addresses of IPv6 that are no place of a public server.
var inside6 = []string{
	"::1", "::", "fe80::1", "febf::1", "fc00::1", "fd00::1", "fd00:ec2::254", "fec0::1", "ff02::1", "ff0e::1", "100::1", "2001:db8::1", "2001::1", "2001:10::1", "2001:20::1", "3fff::1", "5f00::1", "64:ff9b::808:808", "64:ff9b:1::1", "2002:0808:0808::1",
	"4000::1", "fd20:ce::254", "0:0:0:0:0:0:0:1", "0000:0000:0000:0000:0000:0000:0000:0001",
}

// forms are the ways to write an IPv4 address in the host of a URL.
func forms(s string) []string {
	a := netip.MustParseAddr(s)
	b := a.As4()
	n := uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
	wide := strings.NewReplacer("0", "０", "1", "１", "2", "２", "4", "４", "5", "５", "6", "６", "7", "７", "8", "８", "9", "９")
	hi, lo := n>>16, n&0xffff
	return []string{
		s, s + ".",
		strconv.FormatUint(uint64(n), 10),
		fmt.Sprintf("0x%x", n), fmt.Sprintf("0X%08X", n), fmt.Sprintf("0%o", n),
		fmt.Sprintf("0x%x.0x%x.0x%x.0x%x", b[0], b[1], b[2], b[3]),
		fmt.Sprintf("0%o.0%o.0%o.0%o", b[0], b[1], b[2], b[3]),
		fmt.Sprintf("%03d.%03d.%03d.%03d", b[0], b[1], b[2], b[3]),
		fmt.Sprintf("0x%x.%d.0%o.%d", b[0], b[1], b[2], b[3]),
		fmt.Sprintf("%d.%d", b[0], n&0xffffff), fmt.Sprintf("%d.%d.%d", b[0], b[1], n&0xffff), fmt.Sprintf("%d.0x%x", b[0], n&0xffffff),
		wide.Replace(s), strings.ReplaceAll(s, ".", "。"),
		"[::ffff:" + s + "]", fmt.Sprintf("[::ffff:%x:%x]", hi, lo), fmt.Sprintf("[0:0:0:0:0:ffff:%x:%x]", hi, lo),
		"[::" + s + "]", fmt.Sprintf("[64:ff9b::%x:%x]", hi, lo), "[64:ff9b::" + s + "]", fmt.Sprintf("[64:ff9b:1::%x:%x]", hi, lo),
		fmt.Sprintf("[2002:%x:%x::1]", hi, lo), fmt.Sprintf("[2001:0:4136:e378:8000:63bf:%x:%x]", hi^0xffff, lo^0xffff), fmt.Sprintf("[fe80::5efe:%x:%x]", hi, lo), fmt.Sprintf("[::ffff:0:%x:%x]", hi, lo),
	}
}

// others are what is no address of a web server at all.
var others = []string{
	"", "x", "//example.com/", "file:///etc/passwd", "gopher://example.com/", "ftp://example.com/", "dict://example.com:11211/", "unix:///run/x.sock", "data:text/html,x", "javascript:alert(1)", "http:example.com", "http://", "http:///x", "http://:8080/",
	"http://user@example.com/", "http://user:pw@example.com/", "http://example.com@127.0.0.1/", "http://127.0.0.1#@example.com/", "http://127.0.0.1\\@example.com/", "http://example.com:22/", "http://example.com:25/", "http://example.com:0/", "http://example.com:65536/", "http://example.com:x/",
	"http://exa mple.com/", "http://example.com\r\nHost:x/", "http://[::1%25eth0]/", "http://[fe80::1%25lo]/", "http://[::1/", "http://[::ffff:1.2.3.4]/", "http://1.2.3/", "http://1.2.3.4.5/", "http://256.1.1.1/", "http://1.2.3.08/", "http://example.0x7f/", "http://../", "http://-/..", "http://" + strings.Repeat("a", 300) + ".com/", "http://a.com/" + strings.Repeat("a", 3000),
	"http://①②⑦.⓪.⓪.①/", "http://%31%32%37.0.0.1/", "http://127.0.0.1%00.example.com/", "http://localhost/", "http://LOCALHOST/", "http://localhost./", "http://sub.localhost/", "http://ⓛocalhost/",
}

// refusing is a client to whom every name is at one of the addresses given.
func refusing(t *testing.T, at ...string) *egress.Client {
	t.Helper()
	x := egress.New(egress.Config{Resolve: func(_ context.Context, host string) ([]netip.Addr, error) {
		if strings.HasSuffix(host, "localhost") {
			return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
		}
		var out []netip.Addr
		for _, a := range at {
			out = append(out, netip.MustParseAddr(a))
		}
		return out, nil
	}})
	t.Cleanup(x.Close)
	return x
}

func TestEveryWayToAnAddressThatIsNotPublicIsRefused(t *testing.T) {
	t.Parallel()
	var reached atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) }))
	defer server.Close()
	port := server.URL[strings.LastIndexByte(server.URL, ':'):]
	count := 0
	refuse := func(x *egress.Client, address string) {
		count++
		if _, err := x.Get(t.Context(), address, nil, nil); errs.KindOf(err) != errs.Invalid {
			t.Errorf("%q: %v, want a refusal", address, err)
		}
	}
	for _, a := range inside {
		for _, host := range forms(a) {
			refuse(refusing(t), "http://"+host+port+"/")
		}
		// By a name, alone and beside a public address, plain and mapped.
		for _, at := range [][]string{{a}, {"93.184.215.14", a}, {"::ffff:" + a}, {a, "2606:2800:21f:cb07::1"}} {
			refuse(refusing(t, at...), "http://feed.example.com"+port+"/")
		}
	}
	for _, a := range inside6 {
		refuse(refusing(t), "https://["+a+"]"+port+"/")
		refuse(refusing(t, a), "https://feed.example.com"+port+"/")
	}
	for _, s := range others {
		refuse(refusing(t), s)
	}
	if count < 200 {
		t.Errorf("%d forms, want at least 200", count)
	}
	if n := reached.Load(); n != 0 {
		t.Errorf("the server of this machine was reached %d times", n)
	}
	t.Logf("%d forms refused", count)
}

func TestPublicAddressesAreNotRefused(t *testing.T) {
	t.Parallel()
	for _, a := range []string{"93.184.215.14", "8.8.8.8", "1.1.1.1", "172.32.0.1", "100.128.0.1", "192.167.255.255", "2606:2800:21f:cb07::1", "2a00:1450:4001::1", "::ffff:8.8.8.8"} {
		if err := (egress.Policy{}).Check(netip.MustParseAddr(a)); err != nil {
			t.Errorf("%s: %v", a, err)
		}
	}
	if err := (egress.Policy{}).Check(netip.Addr{}); err == nil {
		t.Error("no address: no error")
	}
	for in, want := range map[string]string{
		"https://Example.COM/a?b=c#d": "https://example.com/a?b=c", "http://münchen.example:8080": "http://xn--mnchen-3ya.example:8080", " https://a_b.example.com./x ": "https://a_b.example.com/x",
		"https://[2606:2800:21f:cb07:0::1]/": "https://[2606:2800:21f:cb07::1]/", "http://8.8.8.8:80/": "http://8.8.8.8:80/", "http://example.com:/": "http://example.com/",
	} {
		if u, err := egress.Parse(in); err != nil || u.String() != want {
			t.Errorf("%q is %v (%v), want %s", in, u, err, want)
		}
	}
}

func TestAnOperatorOpensNetworksButNotWhereCloudsTellSecrets(t *testing.T) {
	t.Parallel()
	allow, err := egress.ParseAllow([]string{"10.1.0.0/16", " 192.168.7.7", "169.254.0.0/16", "fd00::/8", "0.0.0.0/0"})
	if err != nil {
		t.Fatal(err)
	}
	p := egress.Policy{Allow: allow[:4]}
	for a, want := range map[string]bool{
		"10.1.2.3": true, "10.2.0.1": false, "192.168.7.7": true, "192.168.7.8": false, "169.254.1.1": true, "169.254.169.254": false, "fd00::1": true, "fd00:ec2::254": false, "fe80::1": false, "::ffff:10.1.2.3": true,
	} {
		if err := p.Check(netip.MustParseAddr(a)); (err == nil) != want {
			t.Errorf("%s: %v, want open %v", a, err, want)
		}
	}
	if err := (egress.Policy{Allow: allow}).Check(netip.MustParseAddr("168.63.129.16")); err == nil {
		t.Error("everything was opened, and with it where a cloud tells secrets")
	}
	for _, bad := range []string{"", "10.0.0.0/33", "host", "::ffff:10.0.0.0/104", "fe80::1%eth0"} {
		if _, err := egress.ParseAllow([]string{bad}); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}

// loopback opens this machine.
var loopback = egress.Policy{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}

func serve(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

func client(t *testing.T, c egress.Config) *egress.Client {
	t.Helper()
	c.Policy = loopback
	x := egress.New(c)
	t.Cleanup(x.Close)
	return x
}

func TestANameThatMovesInsideBetweenTwoLooksGainsNothing(t *testing.T) {
	t.Parallel()
	var reached, looks atomic.Int32
	address := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		reached.Add(1)
		w.Header().Set("Connection", "close")
	})
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	x := client(t, egress.Config{Resolve: func(context.Context, string) ([]netip.Addr, error) {
		if looks.Add(1) > 1 { // a second look says something else
			return []netip.Addr{netip.MustParseAddr("10.0.0.1")}, nil
		}
		return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
	}})
	name := "http://rebind.example.com:" + u.Port()
	if _, err := x.Get(t.Context(), name, nil, nil); err != nil {
		t.Fatal(err)
	}
	if n := looks.Load(); n != 1 {
		t.Errorf("the name was looked up %d times for one connection", n)
	}
	if _, err := x.Get(t.Context(), name, nil, nil); errs.KindOf(err) != errs.Invalid {
		t.Errorf("moved inside: %v, want a refusal", err)
	}
	if n := reached.Load(); n != 1 {
		t.Errorf("reached %d times, want 1", n)
	}
}

func TestARedirectIsLookedAtAsAnAddressThatWasGiven(t *testing.T) {
	t.Parallel()
	address := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", r.URL.Query().Get("to"))
		if r.URL.Path == "/circle" {
			w.Header().Set("Location", "/circle")
		}
		w.WriteHeader(http.StatusFound)
	})
	x := client(t, egress.Config{})
	for _, to := range []string{
		"http://10.0.0.1/", "http://169.254.169.254/latest/meta-data/", "http://[::1]/", "http://0x7f000001/", "file:///etc/passwd", "gopher://example.com/", "http://user:pw@127.0.0.1/", "//192.168.1.1/", "http://2130706433/", "https://127.0.0.1:22/",
	} {
		if _, err := x.Get(t.Context(), address+"/?to="+url.QueryEscape(to), nil, nil); errs.KindOf(err) != errs.Invalid {
			t.Errorf("to %s: %v, want a refusal", to, err)
		}
	}
	if _, err := x.Get(t.Context(), address+"/circle", nil, nil); err == nil {
		t.Error("a circle: no error")
	}
	a, err := client(t, egress.Config{Redirects: -1}).Get(t.Context(), address+"/?to=/x", nil, nil)
	if err != nil || a.Status != http.StatusFound {
		t.Errorf("not followed: %d, %v", a.Status, err)
	}
}

func TestWhereAnAddressHasMovedForGoodIsKnown(t *testing.T) {
	t.Parallel()
	address := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/a":
			http.Redirect(w, r, "/b", http.StatusMovedPermanently)
		case "/b":
			http.Redirect(w, r, "/c", http.StatusPermanentRedirect)
		case "/c":
			http.Redirect(w, r, "/d", http.StatusFound)
		case "/d":
			http.Redirect(w, r, "/e", http.StatusMovedPermanently)
		default:
			_, _ = w.Write([]byte(r.UserAgent()))
		}
	})
	x := client(t, egress.Config{UserAgent: "reader/1"})
	for from, want := range map[string]string{"/a": "/c", "/c": "", "/d": "/e", "/e": ""} {
		a, err := x.Get(t.Context(), address+from, nil, nil)
		if want != "" {
			want = address + want
		}
		if err != nil || a.Moved != want || a.URL != address+"/e" || string(a.Body) != "reader/1" {
			t.Errorf("%s: moved to %q at %q, %v; want %q", from, a.Moved, a.URL, err, want)
		}
	}
}

func TestASecretStaysWithItsHost(t *testing.T) {
	t.Parallel()
	got := make(chan string, 4)
	other := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		got <- r.Header.Get("X-Key") + r.Header.Get("Authorization")
	})
	first := serve(t, func(w http.ResponseWriter, r *http.Request) {
		got <- r.Header.Get("X-Key")
		http.Redirect(w, r, other, http.StatusFound)
	})
	secret := http.Header{"X-Key": {"k"}, "Authorization": {"Bearer t"}}
	if _, err := client(t, egress.Config{}).Get(t.Context(), first, http.Header{"accept": {"x/y"}}, secret); err != nil {
		t.Fatal(err)
	}
	if a, b := <-got, <-got; a != "k" || b != "" {
		t.Errorf("the host got %q, the other one %q", a, b)
	}
}

func TestAnAnswerIsBounded(t *testing.T) {
	t.Parallel()
	address := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/fits":
			_, _ = w.Write(make([]byte, 1000))
		case "/declared":
			w.Header().Set("Content-Length", "5000")
			_, _ = w.Write(make([]byte, 5000))
		case "/streamed":
			for range 100 {
				_, _ = w.Write(make([]byte, 1000))
				w.(http.Flusher).Flush()
			}
		case "/bomb": // 50 MB in some 50 kB
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			for range 50 {
				_, _ = z.Write(make([]byte, 1<<20))
			}
			_ = z.Close()
		case "/packed":
			w.Header().Set("Content-Encoding", "br")
			_, _ = w.Write([]byte("x"))
		case "/header":
			w.Header().Set("X", strings.Repeat("x", 1<<20))
		case "/slow":
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		case "/silent":
			<-r.Context().Done()
		}
	})
	x := client(t, egress.Config{MaxBytes: 1000, Whole: 300 * time.Millisecond})
	if a, err := x.Get(t.Context(), address+"/fits", nil, nil); err != nil || len(a.Body) != 1000 {
		t.Errorf("what fits: %d bytes, %v", len(a.Body), err)
	}
	patient := client(t, egress.Config{MaxBytes: 1000, Whole: 20 * time.Second}) // a bomb takes long to be made
	for _, p := range []string{"/declared", "/streamed", "/bomb"} {
		if _, err := patient.Get(t.Context(), address+p, nil, nil); !errors.Is(err, egress.ErrLarge) {
			t.Errorf("%s: %v, want ErrLarge", p, err)
		}
	}
	if _, err := x.Get(t.Context(), address+"/packed", nil, nil); errs.KindOf(err) != errs.Invalid {
		t.Errorf("packed otherwise: %v", err)
	}
	for _, p := range []string{"/header", "/slow", "/silent"} {
		if _, err := x.Get(t.Context(), address+p, nil, nil); err == nil {
			t.Errorf("%s: no error", p)
		}
	}
}

func TestTwoCallsOfAHostHaveAPauseBetweenThem(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		x := egress.New(egress.Config{Pause: time.Second, Resolve: func(context.Context, string) ([]netip.Addr, error) { return nil, errors.New("no such name") }})
		defer x.Close()
		begin := time.Now()
		get := func(ctx context.Context, host string) {
			if _, err := x.Get(ctx, "http://"+host+"/", nil, nil); err == nil {
				t.Errorf("%s: no error", host)
			}
		}
		get(t.Context(), "a.example")
		get(t.Context(), "b.example")
		if d := time.Since(begin); d != 0 {
			t.Errorf("two hosts took %s", d)
		}
		get(t.Context(), "a.example")
		get(t.Context(), "a.example")
		if d := time.Since(begin); d != 2*time.Second {
			t.Errorf("three calls of one host took %s, want 2s", d)
		}
		x.Pause("a.example", 10*time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		get(ctx, "a.example")
		if d := time.Since(begin); d != 7*time.Second {
			t.Errorf("a caller without patience took %s", d)
		}
	})
}
