package cli

import (
	"strings"

	"golang.org/x/net/idna"
)

// sameAddress reports whether two e-mail addresses are one, in whatever spelling of
// the domain: a server shows letters where somebody may have typed the ASCII form.
func sameAddress(a, b string) bool { return addressKey(a) == addressKey(b) }

func addressKey(address string) string {
	local, domain, found := strings.Cut(strings.TrimSpace(address), "@")
	if ascii, err := idna.Lookup.ToASCII(domain); found && err == nil {
		domain = ascii
	}
	return strings.ToLower(local + "@" + domain)
}

// maxProgram is how much is shown of a program that is no browser of note.
const maxProgram = 40

// Marks by which browsers and systems are known, the telling ones first: every
// browser also claims to be some other.
var (
	browsers = [][2]string{{"Edg/", "Edge"}, {"OPR/", "Opera"}, {"Firefox/", "Firefox"}, {"Chrome/", "Chrome"}, {"Version/", "Safari"}}
	systems  = [][2]string{{"Android", "Android"}, {"iPhone", "iPhone"}, {"iPad", "iPad"}, {"Windows", "Windows"}, {"Mac OS X", "macOS"}, {"CrOS", "ChromeOS"}, {"Linux", "Linux"}}
)

// program is a User-Agent in few words: "Firefox 128, Linux", "curl/8.5.0".
func program(agent string) string {
	agent = oneLine(agent)
	if strings.HasPrefix(agent, "Mozilla/") {
		for _, b := range browsers {
			_, version, found := strings.Cut(agent, b[0])
			if !found {
				continue
			}
			name := b[1]
			if n := strings.IndexFunc(version, func(r rune) bool { return r < '0' || r > '9' }); n > 0 {
				name += " " + version[:n]
			}
			for _, s := range systems {
				if strings.Contains(agent, s[0]) {
					return name + ", " + s[1]
				}
			}
			return name
		}
	}
	if r := []rune(agent); len(r) > maxProgram {
		return string(r[:maxProgram-1]) + "…"
	}
	return agent
}
