package foreign

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Chroma is a server, and what of it is read.
type Chroma struct {
	URL         string   // of the server
	Tenant      string   // "" is default_tenant
	Database    string   // "" is default_database
	Token       string   // "" for none; sent as a bearer token, and as Chroma's own header
	Collections []string // by name; none means all
	HTTP        *http.Client
}

// Bounds of one answer of the server.
const (
	pageRecords    = 500
	pageBytes      = 256 << 20
	maxCollections = 10_000
	answerTime     = 2 * time.Minute
)

// Read reads the collections one after another, in the order of their names, and
// hands each on. begin hears which one is next, and how many records it has.
func (c Chroma) Read(ctx context.Context, begin func(collection string, records int), each func(Base) error) error {
	u, err := url.Parse(c.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return fmt.Errorf("%q is no address of a Chroma server, as http://localhost:8000 is one", c.URL)
	}
	if c.HTTP == nil {
		c.HTTP = &http.Client{}
	}
	client := *c.HTTP
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse } // the token is for this server
	c.HTTP = &client
	s := session{Chroma: c}
	if err := s.begin(ctx, strings.TrimRight(c.URL, "/")); err != nil {
		return err
	}
	all, err := s.list(ctx)
	if err != nil {
		return err
	}
	var b budget
	for _, x := range all {
		base, err := s.collection(ctx, x, &b, begin)
		if err == nil {
			err = each(base)
		}
		if err != nil {
			return fmt.Errorf("collection %s: %w", x.Name, err)
		}
	}
	return nil
}

// session is a server whose API is known.
type session struct {
	Chroma
	collections string // address of the list
	query       string // of every call
}

type collection struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// begin finds which API the server has.
func (s *session) begin(ctx context.Context, root string) error {
	tenant, database := cmp.Or(s.Tenant, "default_tenant"), cmp.Or(s.Database, "default_database")
	err := s.call(ctx, http.MethodGet, root+"/api/v2/heartbeat", nil, nil)
	if err == nil {
		s.collections = root + "/api/v2/tenants/" + url.PathEscape(tenant) + "/databases/" + url.PathEscape(database) + "/collections"
		return nil
	}
	var status statusError
	if !errors.As(err, &status) || status.code == http.StatusUnauthorized || status.code == http.StatusForbidden {
		return err
	}
	if old := s.call(ctx, http.MethodGet, root+"/api/v1/heartbeat", nil, nil); old != nil {
		return fmt.Errorf("%s answers as no Chroma server does: %w", root, err)
	}
	s.collections = root + "/api/v1/collections"
	s.query = url.Values{"tenant": {tenant}, "database": {database}}.Encode()
	return nil
}

// list is what there is, or what of it was asked for.
func (s *session) list(ctx context.Context) ([]collection, error) {
	var all []collection
	for {
		var page []collection
		if err := s.call(ctx, http.MethodGet, fmt.Sprintf("%s?limit=100&offset=%d&%s", s.collections, len(all), s.query), nil, &page); err != nil {
			return nil, err
		}
		if all = append(all, page...); len(page) < 100 {
			break
		}
		if len(all) > maxCollections {
			return nil, fmt.Errorf("more than %d collections: name those to import", maxCollections)
		}
	}
	slices.SortFunc(all, func(a, b collection) int { return cmp.Compare(a.Name, b.Name) })
	if len(s.Collections) == 0 {
		return all, nil
	}
	var chosen []collection
	for _, name := range s.Collections {
		i := slices.IndexFunc(all, func(c collection) bool { return c.Name == name })
		if i < 0 {
			var names []string
			for _, c := range all[:min(len(all), 20)] {
				names = append(names, c.Name)
			}
			return nil, fmt.Errorf("the server has no collection %q, but %s", name, cmp.Or(strings.Join(names, ", "), "none at all"))
		}
		chosen = append(chosen, all[i])
	}
	return chosen, nil
}

// collection reads all records of a collection, page by page.
func (s *session) collection(ctx context.Context, c collection, b *budget, begin func(string, int)) (Base, error) {
	at := s.collections + "/" + url.PathEscape(c.ID)
	var total int
	if err := s.call(ctx, http.MethodGet, at+"/count?"+s.query, nil, &total); err != nil {
		return Base{}, err
	}
	begin(c.Name, total)
	base, seen := Base{Name: c.Name}, map[string]bool{}
	for {
		var page struct {
			IDs       []string         `json:"ids"`
			Documents []*string        `json:"documents"`
			Metadatas []map[string]any `json:"metadatas"`
		}
		ask := map[string]any{"limit": pageRecords, "offset": len(base.Records), "include": []string{"documents", "metadatas"}}
		if err := s.call(ctx, http.MethodPost, at+"/get?"+s.query, ask, &page); err != nil {
			return base, err
		}
		records, err := columns(page.IDs, page.Documents, page.Metadatas)
		if err != nil {
			return base, err
		}
		if len(records) == 0 {
			break
		}
		for _, r := range records {
			if seen[r.ID] {
				return base, fmt.Errorf("changed while it was read: %s came twice; import it again", r.ID)
			}
			seen[r.ID] = true
		}
		if err := b.take(records); err != nil {
			return base, err
		}
		base.Records = append(base.Records, records...)
	}
	if len(base.Records) < total {
		return base, fmt.Errorf("changed while it was read: %d of %d records came; import it again", len(base.Records), total)
	}
	return base, nil
}

// statusError is an answer that is none of success.
type statusError struct {
	code int
	what string
}

func (e statusError) Error() string {
	if e.code == http.StatusUnauthorized || e.code == http.StatusForbidden {
		return fmt.Sprintf("the Chroma server refuses (%d): it wants a token, or another one (--chroma-token-file)", e.code)
	}
	return fmt.Sprintf("the Chroma server answers %d: %s", e.code, e.what)
}

// call asks the server once. into may be nil.
func (s *session) call(ctx context.Context, method, address string, body, into any) (err error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	var send io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return err
		}
		send = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, address, send)
	if err != nil {
		return err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if s.Token != "" {
		req.Header.Set("Authorization", "Bearer "+s.Token)
		req.Header.Set("X-Chroma-Token", s.Token)
	}
	resp, err := s.HTTP.Do(req)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
	if resp.StatusCode != http.StatusOK {
		what, _ := io.ReadAll(io.LimitReader(resp.Body, 300)) // as much as there is
		return statusError{resp.StatusCode, strings.ToValidUTF8(strings.TrimSpace(string(what)), "?")}
	}
	if into == nil {
		return nil
	}
	limited := &io.LimitedReader{R: resp.Body, N: pageBytes + 1}
	if err := json.NewDecoder(limited).Decode(into); err != nil {
		if limited.N <= 0 {
			return fmt.Errorf("an answer is larger than %d MiB", pageBytes>>20)
		}
		return fmt.Errorf("the Chroma server's answer: %w", err)
	}
	return nil
}
