package access

import (
	"bytes"
	"compress/flate"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/commandcenter/commandcenter/pkg/errs"
)

// forgery makes tokens: begins with a good one, and signs what it is told to.
type forgery struct {
	*world
	right, wrong ed25519.PrivateKey
}

type changes = map[string]any

// sign makes a token of the method, with changes to the header and claims of a
// good one; nil removes.
func (f forgery) sign(m jwt.SigningMethod, key any, header, claims changes) string {
	f.t.Helper()
	now := f.clock()
	c := jwt.MapClaims{"iss": "i", "aud": "a", "sub": "7", "sid": "s", "type": "access", "iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(time.Hour).Unix()}
	t := jwt.NewWithClaims(m, c)
	t.Header["kid"], t.Header["typ"] = "k1", "at+jwt"
	for into, from := range map[*map[string]any]changes{&t.Header: header, (*map[string]any)(&c): claims} {
		for k, v := range from {
			if (*into)[k] = v; v == nil {
				delete(*into, k)
			}
		}
	}
	s, err := t.SignedString(key)
	if err != nil {
		f.t.Fatal(err)
	}
	return s
}

// ours is signed as the auth service signs.
func (f forgery) ours(header, claims changes) string {
	return f.sign(jwt.SigningMethodEdDSA, f.right, header, claims)
}

// raw is signed as the auth service signs, whatever the payload is.
func (f forgery) raw(payload []byte) string {
	f.t.Helper()
	head, _ := json.Marshal(changes{"alg": "EdDSA", "kid": "k1", "typ": "at+jwt"})
	enc := base64.RawURLEncoding
	input := enc.EncodeToString(head) + "." + enc.EncodeToString(payload)
	return input + "." + enc.EncodeToString(ed25519.Sign(f.right, []byte(input)))
}

// TestTheAttacksOfRFC8725 goes through the best practices for JSON Web Tokens,
// section by section, with the attacks that each is there against. What is signed
// with our own key stands for other tokens of the same issuer, and for one that
// makes a mistake.
func TestTheAttacksOfRFC8725(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	_, wrong, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	f := forgery{w, w.keys["k1"], wrong}
	public := f.right.Public().(ed25519.PublicKey)
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	good := f.ours(nil, nil)
	part := strings.Split(good, ".")
	jwk := changes{"kty": "OKP", "crv": "Ed25519", "x": base64.RawURLEncoding.EncodeToString(wrong.Public().(ed25519.PublicKey))}
	flip := func(s string) string {
		return map[bool]string{true: "B", false: "A"}[s[0] == 'A'] + s[1:]
	}
	var deflated bytes.Buffer
	z, _ := flate.NewWriter(&deflated, flate.BestCompression)
	fmt.Fprintf(z, `{"iss":"i","aud":"a","sub":"7","sid":"s","type":"access","exp":%d}`, w.clock().Add(time.Hour).Unix())
	_ = z.Close() // to memory
	claims := func(format string, args ...any) []byte {
		now := w.clock().Unix()
		return fmt.Appendf(nil, `{"iss":"i","aud":"a","type":"access","iat":%d,"nbf":%d,"exp":%d,`+format+`}`, append([]any{now, now, now + 3600}, args...)...)
	}
	const unsafe = jwt.UnsafeAllowNoneSignatureType

	for section, attacks := range map[string]map[string]string{
		"3.1 algorithm verification": {
			"none": f.sign(jwt.SigningMethodNone, unsafe, nil, nil), "nOnE": f.sign(jwt.SigningMethodNone, unsafe, changes{"alg": "nOnE"}, nil),
			"no alg": f.sign(jwt.SigningMethodNone, unsafe, changes{"alg": nil}, nil), "a number": f.sign(jwt.SigningMethodNone, unsafe, changes{"alg": 1}, nil),
			"HMAC with the public key": f.sign(jwt.SigningMethodHS256, []byte(public), nil, nil), "another name": f.ours(changes{"alg": "Ed25519"}, nil),
			"RSA": f.sign(jwt.SigningMethodRS256, rsaKey, nil, nil), "ECDSA": f.sign(jwt.SigningMethodES256, ecKey, nil, nil),
		},
		"3.2 appropriate algorithms": {
			"HS384": f.sign(jwt.SigningMethodHS384, []byte(public), nil, nil), "PS256": f.sign(jwt.SigningMethodPS256, rsaKey, nil, nil),
			"EdDSA said, HMAC done": part[0] + "." + part[1] + "." + strings.Split(f.sign(jwt.SigningMethodHS256, []byte(public), nil, nil), ".")[2],
		},
		"3.3 all cryptographic operations": {
			"no signature": part[0] + "." + part[1] + ".", "a changed signature": part[0] + "." + part[1] + "." + flip(part[2]),
			"half a signature": part[0] + "." + part[1] + "." + part[2][:43], "a changed claim": part[0] + "." + flip(part[1]) + "." + part[2],
			"one of another token": part[0] + "." + strings.Split(f.ours(nil, changes{"sub": "8"}), ".")[1] + "." + part[2],
			"another key":          f.sign(jwt.SigningMethodEdDSA, f.wrong, nil, nil), "two parts": part[0] + "." + part[1], "four parts": good + "." + part[2],
		},
		"3.4 cryptographic inputs": {
			"a key of wrong length": f.ours(changes{"kid": "broken"}, nil), "zeros for a signature": part[0] + "." + part[1] + "." + strings.Repeat("A", 86),
			"padding": good + "==", "spaces": part[0] + "." + part[1] + ". " + part[2], "not base64url": part[0] + "." + part[1] + "." + strings.Repeat("+", 86),
			"too long": good + strings.Repeat("A", maxToken),
		},
		"3.5 entropy of keys": {
			"an empty secret": f.sign(jwt.SigningMethodHS256, []byte{}, nil, nil), "a word": f.sign(jwt.SigningMethodHS256, []byte("secret"), nil, nil),
			"the name of the key": f.sign(jwt.SigningMethodHS256, []byte("k1"), nil, nil), "a seed of zeros": f.sign(jwt.SigningMethodEdDSA, ed25519.NewKeyFromSeed(make([]byte, 32)), nil, nil),
		},
		"3.6 compression": {
			"a deflated payload": f.raw(deflated.Bytes()), "an encrypted token": strings.Join([]string{part[0], "a", "b", part[1], part[2]}, "."),
		},
		"3.7 UTF-8": {
			"Latin-1": f.raw(claims("\"sub\":\"7\",\"sid\":\"s\xe9\"")), "UTF-16": f.raw([]byte("\xff\xfe{\x00}\x00")), "half a character": f.raw(claims("\"sub\":\"7\",\"sid\":\"s\xc3\"")),
		},
		"3.8 issuer and subject": {
			"no issuer": f.ours(nil, changes{"iss": nil}), "another issuer": f.ours(nil, changes{"iss": "j"}), "a longer one": f.ours(nil, changes{"iss": "i "}), "a list": f.ours(nil, changes{"iss": []string{"i"}}),
			"no subject": f.ours(nil, changes{"sub": nil}), "nobody": f.ours(nil, changes{"sub": "0"}), "less than nobody": f.ours(nil, changes{"sub": "-7"}),
			"a name": f.ours(nil, changes{"sub": "root"}), "a number and more": f.ours(nil, changes{"sub": "7 OR 1=1"}), "too far": f.ours(nil, changes{"sub": "9223372036854775808"}), "no text": f.ours(nil, changes{"sub": 7}),
		},
		"3.9 audience": {
			"none": f.ours(nil, changes{"aud": nil}), "another": f.ours(nil, changes{"aud": "b"}), "others": f.ours(nil, changes{"aud": []string{"b", "c"}}), "empty": f.ours(nil, changes{"aud": []string{}}),
		},
		"3.10 received claims": {
			"a key in the header": f.sign(jwt.SigningMethodEdDSA, f.wrong, changes{"jwk": jwk, "kid": nil}, nil), "an address of keys": f.sign(jwt.SigningMethodEdDSA, f.wrong, changes{"jku": "http://127.0.0.1:1/jwks"}, nil),
			"a certificate": f.sign(jwt.SigningMethodEdDSA, f.wrong, changes{"x5c": []string{"x"}, "x5u": "http://127.0.0.1:1/"}, nil),
			"SQL":           f.sign(jwt.SigningMethodEdDSA, f.wrong, changes{"kid": "x' UNION SELECT 'k1"}, nil), "a path": f.sign(jwt.SigningMethodHS256, []byte{}, changes{"kid": "../../dev/null"}, nil),
			"no key": f.ours(changes{"kid": nil}, nil), "a list of keys": f.ours(changes{"kid": []string{"k1"}}, nil), "a long name": f.ours(changes{"kid": strings.Repeat("k", maxKeyID+1)}, nil),
			"an extension that is critical": f.ours(changes{"crit": []string{"b64"}, "b64": false}, nil),
		},
		"3.11 explicit typing": {
			"none": f.ours(changes{"typ": nil}, nil), "a plain one": f.ours(changes{"typ": "JWT"}, nil), "a list": f.ours(changes{"typ": []string{"at+jwt"}}, nil), "an ID token": f.ours(changes{"typ": "id+jwt"}, nil),
		},
		"3.12 exclusive rules": {
			"a refresh token": f.ours(nil, changes{"type": "refresh"}), "no kind": f.ours(nil, changes{"type": nil}), "one of the bus": f.ours(changes{"typ": "cc-identity+jwt"}, nil),
			"no session": f.ours(nil, changes{"sid": nil}), "no end": f.ours(nil, changes{"exp": nil}), "over": f.ours(nil, changes{"exp": w.clock().Add(-time.Minute).Unix()}),
			"not yet": f.ours(nil, changes{"nbf": w.clock().Add(time.Minute).Unix()}), "of tomorrow": f.ours(nil, changes{"iat": w.clock().Add(24 * time.Hour).Unix()}),
		},
	} {
		for name, token := range attacks {
			if c, err := w.Authenticate(t.Context(), token); errs.KindOf(err) != errs.Unauthenticated {
				t.Errorf("%s, %s: %+v, %v", section, name, c, err)
			}
		}
	}
	if c, err := w.Authenticate(t.Context(), good); err != nil || c.UserID != 7 {
		t.Errorf("a good one: %+v, %v", c, err)
	}
	if _, err := w.Authenticate(t.Context(), f.raw(claims(`"sub":"7","sid":"s","email":"é@b.io"`))); err != nil {
		t.Errorf("a good one with letters: %v", err)
	}
}

func TestThePublishedKeysAreThoseThatVerify(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.addKey("k2")
	w.set(func() { w.notAfter["k1"] = w.now.Add(10 * time.Minute) })
	ids := func() string {
		keys, err := w.PublicKeys(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, k := range keys {
			out = append(out, k.ID)
		}
		return strings.Join(out, " ")
	}
	if got := ids(); got != "k1 k2" { // and none of the broken one
		t.Errorf("published %q", got)
	}
	w.set(func() { w.down = true })
	w.pass(6 * time.Minute)
	if got := ids(); got != "k1 k2" {
		t.Errorf("while auth is away: %q", got)
	}
	w.pass(5 * time.Minute)
	if got := ids(); got != "k2" {
		t.Errorf("after the end of one: %q", got)
	}
	fresh := newWorld(t, nil)
	fresh.set(func() { fresh.down = true })
	if _, err := fresh.PublicKeys(t.Context()); errs.KindOf(err) != errs.Unavailable {
		t.Errorf("with nothing known: %v", err)
	}
}

// The promise is that finding out who calls adds at most 50 µs to a call.
func BenchmarkACallerIsKnown(b *testing.B) {
	w := newWorld(b, nil)
	key := w.issue(APIKey{ID: "k", Project: 1, User: 7, Scopes: Scopes{"knowledge": Read}}).Reveal()
	for name, bearer := range map[string]string{"token": w.token("k1"), "key": key} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				c, err := w.Authenticate(b.Context(), bearer)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := w.Guard.Standing(b.Context(), c, 1); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
