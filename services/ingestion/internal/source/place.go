package source

import (
	"net/url"
	"slices"
	"strings"
)

// maxPlace is the longest name of a document, in characters.
const maxPlace = 1024

// tracking are the parameters of addresses that say where a reader comes from.
var tracking = []string{"fbclid", "gclid", "dclid", "msclkid", "mc_cid", "mc_eid", "igshid", "ref_src", "_hsenc", "_hsmi", "yclid"}

// Address is an address in the form in which two of the same document are the
// same: without fragment, default port and what tells where a reader comes from.
// What is no address of the web is "".
func Address(s string) string {
	u, err := url.Parse(strings.TrimSpace(s))
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return ""
	}
	u.User, u.Fragment, u.RawFragment = nil, "", ""
	u.Host = strings.ToLower(u.Host)
	if port := u.Port(); port == "80" && u.Scheme == "http" || port == "443" && u.Scheme == "https" {
		u.Host = strings.TrimSuffix(u.Host, ":"+port)
	}
	if u.Path == "" {
		u.Path = "/"
	}
	if u.RawQuery != "" {
		var kept []string
		for p := range strings.SplitSeq(u.RawQuery, "&") {
			name, _, _ := strings.Cut(strings.ToLower(p), "=")
			if p != "" && !strings.HasPrefix(name, "utm_") && !slices.Contains(tracking, name) {
				kept = append(kept, p)
			}
		}
		u.RawQuery = strings.Join(kept, "&")
	}
	u.ForceQuery = false
	return u.String()
}

// Place is the name of the document at an address: without its scheme, by which
// one over https is the one over http.
func Place(address string) string {
	a := Address(address)
	if _, rest, ok := strings.Cut(a, "://"); ok {
		return clip(strings.TrimSuffix(rest, "/"))
	}
	return ""
}

// File is the name of a file.
func File(p string) string { return clip(p) }

// Below is the name of a document that has no address of its own, in something
// that has.
func Below(place, key string) string { return clip(place + "#" + key) }

// clip shortens what is too long for a name, and keeps it a name of its own.
func clip(s string) string {
	r := []rune(strings.Map(func(c rune) rune {
		if c < ' ' || c == 0x7f {
			return -1
		}
		return c
	}, strings.ToValidUTF8(s, "")))
	if len(r) <= maxPlace {
		return string(r)
	}
	return string(r[:maxPlace-17]) + "~" + digest([]byte(s))[:16]
}
