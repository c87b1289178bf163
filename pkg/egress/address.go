package egress

import (
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"golang.org/x/net/idna"

	"github.com/commandcenter/commandcenter/pkg/errs"
)

// maxURL is the longest address, in bytes.
const maxURL = 2048

// Policy says which addresses may be called. The zero value: public ones.
type Policy struct {
	// Allow are networks that an operator opens though they are not public.
	Allow []netip.Prefix
}

// ParseAllow reads networks (10.0.0.0/8) and single addresses.
func ParseAllow(list []string) ([]netip.Prefix, error) {
	out := make([]netip.Prefix, 0, len(list))
	for _, s := range list {
		s = strings.TrimSpace(s)
		p, err := netip.ParsePrefix(s)
		if a, aerr := netip.ParseAddr(s); err != nil && aerr == nil && a.Zone() == "" {
			p, err = netip.PrefixFrom(a, a.BitLen()), nil
		}
		if err != nil || p.Addr().Is4In6() {
			return nil, fmt.Errorf("%q is no network such as 10.0.0.0/8, and no address", s)
		}
		out = append(out, p.Masked())
	}
	return out, nil
}

// secrets are the addresses at which clouds tell a machine its secrets.
var secrets = addresses("169.254.169.254", "169.254.170.2", "169.254.170.23", "169.254.0.23", "100.100.100.200", "192.0.0.192", "168.63.129.16", "fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254")

func addresses(list ...string) map[netip.Addr]bool {
	out := map[netip.Addr]bool{}
	for _, s := range list {
		out[netip.MustParseAddr(s)] = true
	}
	return out
}

// special are networks within the public ranges that are no place of a server, by
// the registries of IANA, with what they are.
var special = []struct {
	network netip.Prefix
	what    string
}{
	{netip.MustParsePrefix("0.0.0.0/8"), "this machine"},
	{netip.MustParsePrefix("10.0.0.0/8"), "private"},
	{netip.MustParsePrefix("100.64.0.0/10"), "private to a provider"},
	{netip.MustParsePrefix("127.0.0.0/8"), "this machine"},
	{netip.MustParsePrefix("169.254.0.0/16"), "link-local"},
	{netip.MustParsePrefix("172.16.0.0/12"), "private"},
	{netip.MustParsePrefix("192.0.0.0/24"), "reserved"},
	{netip.MustParsePrefix("192.0.2.0/24"), "for documentation"},
	{netip.MustParsePrefix("192.88.99.0/24"), "a relay of 6to4"},
	{netip.MustParsePrefix("192.168.0.0/16"), "private"},
	{netip.MustParsePrefix("198.18.0.0/15"), "for benchmarks"},
	{netip.MustParsePrefix("198.51.100.0/24"), "for documentation"},
	{netip.MustParsePrefix("203.0.113.0/24"), "for documentation"},
	{netip.MustParsePrefix("224.0.0.0/4"), "multicast"},
	{netip.MustParsePrefix("240.0.0.0/4"), "reserved"},
	{netip.MustParsePrefix("::1/128"), "this machine"},
	{netip.MustParsePrefix("::/128"), "this machine"},
	{netip.MustParsePrefix("64:ff9b::/96"), "a translation of another address"},
	{netip.MustParsePrefix("64:ff9b:1::/48"), "a translation of another address"},
	{netip.MustParsePrefix("fc00::/7"), "private"},
	{netip.MustParsePrefix("fe80::/10"), "link-local"},
	{netip.MustParsePrefix("fec0::/10"), "private"},
	{netip.MustParsePrefix("ff00::/8"), "multicast"},
	{netip.MustParsePrefix("2001::/23"), "a tunnel or reserved"},
	{netip.MustParsePrefix("2001:db8::/32"), "for documentation"},
	{netip.MustParsePrefix("2002::/16"), "a tunnel to another address"},
	{netip.MustParsePrefix("3fff::/20"), "for documentation"},
}

var global6 = netip.MustParsePrefix("2000::/3")

// refused says why an address is not called: trying again is of no use.
func refused(what, why string) error {
	return errs.Newf(errs.Invalid, "%s is not called: %s", what, why)
}

// Check refuses a, unless it is public or was opened. An IPv4 address that is
// written as one of IPv6 is as the IPv4 address.
func (p Policy) Check(a netip.Addr) error {
	if a.Zone() != "" {
		return refused(a.String(), "it is of one link")
	}
	a = a.Unmap()
	if secrets[a] {
		return refused(a.String(), "a cloud tells machines their secrets there")
	}
	for _, open := range p.Allow {
		if open.Contains(a) {
			return nil
		}
	}
	if why := within(a); why != "" {
		return refused(a.String(), "it is "+why+", and not among the networks that were opened")
	}
	return nil
}

// within says what of an address makes it not public; "" when it is.
func within(a netip.Addr) string {
	if !a.IsValid() {
		return "no address"
	}
	for _, s := range special {
		if s.network.Contains(a) {
			return s.what
		}
	}
	if a.Is6() && !global6.Contains(a) {
		return "reserved"
	}
	return ""
}

// Parse reads the address of something that may be called, as far as it alone
// tells: http or https, a host, a port of a web server, no user in it. A host that
// is a number but no IPv4 address of four plain decimals is refused, since programs
// do not agree on what it means.
func Parse(s string) (*url.URL, error) {
	if len(s) > maxURL {
		return nil, errs.Newf(errs.Invalid, "an address has at most %d bytes", maxURL)
	}
	u, err := url.Parse(strings.TrimSpace(s))
	switch {
	case err != nil:
		return nil, errs.New(errs.Invalid, "this is no address")
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, errs.New(errs.Invalid, "an address begins with http:// or https://")
	case u.Opaque != "" || u.Hostname() == "":
		return nil, errs.New(errs.Invalid, "the address names no host")
	case u.User != nil:
		return nil, errs.New(errs.Invalid, "an address has no user and no password in it")
	}
	host, err := hostOf(u.Hostname())
	if err != nil {
		return nil, err
	}
	port := u.Port()
	if strings.HasSuffix(u.Host, ":") {
		port = ""
	}
	if port != "" {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 || n < 1024 && n != 80 && n != 443 {
			return nil, refused(host+":"+port, "below 1024, web servers have the ports 80 and 443")
		}
		port = ":" + port
	}
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	u.Host, u.Fragment, u.RawFragment = host+port, "", ""
	return u, nil
}

// names reads names as a browser does.
var names = idna.New(idna.MapForLookup(), idna.BidiRule(), idna.StrictDomainName(false), idna.VerifyDNSLength(true))

// hostOf is a host as it is asked for: an address in its plain form, or a name in
// letters of ASCII.
func hostOf(host string) (string, error) {
	if strings.Contains(host, ":") || strings.Contains(host, "%") {
		a, err := netip.ParseAddr(host)
		if err != nil || a.Zone() != "" || a.Is4In6() {
			return "", refused(host, "it is no plain address")
		}
		return a.String(), nil
	}
	name, err := names.ToASCII(strings.TrimSuffix(host, "."))
	if err != nil || name == "" || len(name) > 253 || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789.-_") != "" {
		return "", refused(strconv.Quote(host), "it is no name of a host")
	}
	last := name[strings.LastIndexByte(name, '.')+1:]
	if number(last) {
		a, err := netip.ParseAddr(name)
		if err != nil || host != a.String() {
			return "", refused(strconv.Quote(host), "it is a number, and no address of four plain decimals")
		}
		return name, nil
	}
	return name, nil
}

// number says whether the last label of a name makes it an address to some
// programs: decimal, octal or hexadecimal.
func number(label string) bool {
	digits := strings.TrimLeft(label, "0123456789")
	if digits == "" {
		return true
	}
	rest, hex := strings.CutPrefix(strings.ToLower(label), "0x")
	return hex && strings.Trim(rest, "0123456789abcdef") == ""
}
