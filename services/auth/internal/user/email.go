package user

import (
	"errors"
	"net/netip"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"
	"golang.org/x/text/unicode/norm"
)

// MaxEmail is the longest address, in bytes of its normal form (RFC 5321).
const MaxEmail = 254

// Reasons why a text is not an address.
var (
	errNoAt   = errors.New("an e-mail address has exactly one @")
	errLocal  = errors.New("the part before the @ is not valid")
	errDomain = errors.New("the part after the @ is not a valid domain")
	errLength = errors.New("the e-mail address is too long")
)

// domains maps a domain as people write it to the form that DNS uses. It
// checks syntax only: whether the domain can receive mail is no question for a
// form.
var domains = idna.New(idna.MapForLookup(), idna.BidiRule(), idna.StrictDomainName(true), idna.VerifyDNSLength(true))

// Normalise returns the one form in which an address is stored and looked up:
// trimmed, composed, lower case, its domain in ASCII. The error is a sentence
// for the caller and does not repeat the input.
func Normalise(address string) (string, error) {
	address = norm.NFC.String(strings.TrimSpace(address))
	local, domain, found := strings.Cut(address, "@")
	if !found || strings.Contains(domain, "@") {
		return "", errNoAt
	}
	local = strings.ToLower(local)
	if !validLocal(local) {
		return "", errLocal
	}
	ascii, err := domains.ToASCII(domain)
	if err != nil || !validDomain(ascii) {
		return "", errDomain
	}
	out := local + "@" + ascii
	if len(out) > MaxEmail {
		return "", errLength
	}
	return out, nil
}

// validLocal accepts a dot-atom (RFC 5322) extended by letters and digits of
// all scripts (RFC 6531). Quoted forms are refused: nobody has one, and they
// can hold anything.
func validLocal(s string) bool {
	if s == "" || len(s) > 64 || !utf8.ValidString(s) || s[0] == '.' || s[len(s)-1] == '.' || strings.Contains(s, "..") {
		return false
	}
	for _, r := range s {
		switch {
		case r < utf8.RuneSelf && (unicode.IsLetter(r) || unicode.IsDigit(r)):
		case r >= utf8.RuneSelf && (unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r)):
		case strings.ContainsRune("!#$%&'*+-/=?^_`{|}~.", r):
		default:
			return false
		}
	}
	return true
}

// validDomain wants two labels or more, save for "localhost", which the first
// account of a private instance may use; and a name, not an address.
func validDomain(ascii string) bool {
	if ascii == "localhost" {
		return true
	}
	if _, err := netip.ParseAddr(ascii); err == nil {
		return false
	}
	dot := strings.LastIndexByte(ascii, '.')
	if dot <= 0 || dot == len(ascii)-1 {
		return false
	}
	top := ascii[dot+1:]
	return strings.ContainsFunc(top, unicode.IsLetter)
}

// Shown is an address in its normal form as people write it: with the letters of
// its domain. A domain that mixes scripts in one label stays in ASCII, since it is
// likely made to look like another (the highly restrictive level of UTS 39).
func Shown(address string) string {
	local, domain, found := strings.Cut(address, "@")
	if !found || !strings.Contains(domain, "xn--") {
		return address
	}
	text, err := domains.ToUnicode(domain)
	if err != nil {
		return address
	}
	if ascii, err := domains.ToASCII(text); err != nil || ascii != domain {
		return address
	}
	for label := range strings.SplitSeq(text, ".") {
		if mixed(label) {
			return address
		}
	}
	return local + "@" + text
}

// together are the scripts that people write in one word, each with Latin or
// without.
var together = [][]*unicode.RangeTable{
	{unicode.Han, unicode.Hiragana, unicode.Katakana}, {unicode.Han, unicode.Hangul}, {unicode.Han, unicode.Bopomofo},
}

// mixed reports whether a label is of more than one script, and not of those that
// belong together.
func mixed(label string) bool {
	foreign := func(r rune) bool { return r >= utf8.RuneSelf && !unicode.In(r, unicode.Common, unicode.Inherited) }
	other := strings.IndexFunc(label, foreign)
	if other < 0 {
		return false
	}
	outside := func(scripts ...*unicode.RangeTable) bool {
		return strings.ContainsFunc(label, func(r rune) bool { return unicode.IsLetter(r) && foreign(r) && !unicode.In(r, scripts...) })
	}
	latin := strings.ContainsFunc(label, func(r rune) bool { return r < utf8.RuneSelf && unicode.IsLetter(r) })
	if !outside(unicode.Latin) {
		return false
	}
	for _, scripts := range together {
		if !outside(append([]*unicode.RangeTable{unicode.Latin}, scripts...)...) {
			return false
		}
	}
	first, _ := utf8.DecodeRuneInString(label[other:])
	for name, script := range unicode.Scripts {
		if name != "Latin" && unicode.Is(script, first) {
			return latin || outside(script)
		}
	}
	return true
}

// searched is a text to look for in addresses in their normal form: the labels of a
// domain with other letters than ASCII are looked for in ASCII.
func searched(text string) string {
	if !strings.ContainsFunc(text, func(r rune) bool { return r >= utf8.RuneSelf }) {
		return text
	}
	local, domain, found := strings.Cut(norm.NFC.String(strings.TrimSpace(text)), "@")
	if !found {
		local, domain = "", local
	}
	ascii, err := idna.Punycode.ToASCII(strings.ToLower(domain))
	if err != nil {
		return text
	}
	if found {
		return local + "@" + ascii
	}
	return ascii
}
