package token

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
)

// What the header and the claims of an access token say of its kind.
const (
	HeaderType = "at+jwt" // RFC 9068
	ClaimType  = "access"
)

// leeway is how far the clocks of replicas may differ.
const leeway = 5 * time.Second

// Claims is the content of an access token.
type Claims struct {
	jwt.RegisteredClaims
	Email   string `json:"email"`
	Session string `json:"sid"`
	Type    string `json:"type"`
}

// Issuer signs access tokens and reads them.
type Issuer struct {
	Keys     *Keys
	Name     string // iss
	Audience string // aud
	Life     time.Duration
	Now      func() time.Time
}

// Issue signs a token for the user in that session, good from now for the time
// returned.
func (i Issuer) Issue(ctx context.Context, userID int64, email, session string, now time.Time) (string, time.Duration, error) {
	key, err := i.Keys.signer(ctx, now)
	if err != nil {
		return "", 0, err
	}
	id, err := uuid.NewRandom()
	if err != nil {
		return "", 0, fmt.Errorf("make token id: %w", err)
	}
	t := jwt.NewWithClaims(jwt.SigningMethodEdDSA, Claims{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer:    i.Name,
			Audience:  jwt.ClaimStrings{i.Audience},
			Subject:   strconv.FormatInt(userID, 10),
			ID:        id.String(),
			IssuedAt:  jwt.NewNumericDate(now),
			NotBefore: jwt.NewNumericDate(now),
			ExpiresAt: jwt.NewNumericDate(now.Add(i.Life)),
		},
		Email: email, Session: session, Type: ClaimType,
	})
	t.Header["kid"], t.Header["typ"] = key.ID, HeaderType
	signed, err := t.SignedString(key.private)
	if err != nil {
		return "", 0, fmt.Errorf("sign access token: %w", err)
	}
	return signed, i.Life, nil
}

var (
	errType = errors.New("not an access token")
	errKey  = errors.New("unknown key")
)

// Parse verifies a token completely and returns its claims.
func (i Issuer) Parse(text string) (Claims, error) {
	var c Claims
	now := i.Now()
	_, err := jwt.ParseWithClaims(text, &c, func(t *jwt.Token) (any, error) {
		if typ, _ := t.Header["typ"].(string); typ != HeaderType {
			return nil, errType
		}
		if _, critical := t.Header["crit"]; critical {
			return nil, errType // we understand no extension
		}
		kid, _ := t.Header["kid"].(string)
		key, ok := i.Keys.verifier(kid, now)
		if !ok {
			return nil, errKey
		}
		return key.Public, nil
	},
		jwt.WithValidMethods([]string{jwt.SigningMethodEdDSA.Alg()}), jwt.WithIssuer(i.Name), jwt.WithAudience(i.Audience),
		jwt.WithExpirationRequired(), jwt.WithIssuedAt(), jwt.WithLeeway(leeway), jwt.WithTimeFunc(i.Now), jwt.WithStrictDecoding())
	if err != nil {
		return Claims{}, fmt.Errorf("read access token: %w", err)
	}
	switch {
	case c.Type != ClaimType:
		return Claims{}, errType
	case c.Subject == "", c.Session == "", c.ID == "", c.NotBefore == nil, c.IssuedAt == nil:
		return Claims{}, errors.New("read access token: a claim is missing")
	}
	return c, nil
}

// IsAccess reports whether text is an access token that this instance signed
// and that is still good.
func (i Issuer) IsAccess(_ context.Context, text string) bool {
	_, err := i.Parse(text)
	return err == nil
}
