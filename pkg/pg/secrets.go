package pg

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
)

// InstanceSecrets derives each role's password from the secret of the
// instance by HKDF-SHA256 with the info "pg:"+role, so that nothing has to be
// stored and every process of the instance finds the same. secret must have at
// least 16 bytes.
func InstanceSecrets(secret []byte) (RoleSecrets, error) {
	if len(secret) < 16 {
		return nil, fmt.Errorf("role secrets: the instance secret has %d bytes, want 16 or more", len(secret))
	}
	return func(role string) string {
		key, err := hkdf.Key(sha256.New, secret, nil, "pg:"+role, 32)
		if err != nil { // only for a length that SHA-256 cannot give
			return ""
		}
		return hex.EncodeToString(key)
	}, nil
}

const scramIterations = 4096 // what the server itself uses by default

// scramVerifier is what PostgreSQL stores for password, so that the password
// itself is never in a statement and never in the server's log.
func scramVerifier(password string) (string, error) {
	salt := make([]byte, 16)
	if _, err := rand.Read(salt); err != nil {
		return "", fmt.Errorf("salt: %w", err)
	}
	return scramWith(password, salt, scramIterations)
}

func scramWith(password string, salt []byte, iterations int) (string, error) {
	salted, err := pbkdf2.Key(sha256.New, password, salt, iterations, sha256.Size)
	if err != nil {
		return "", fmt.Errorf("derive password: %w", err)
	}
	b64 := base64.StdEncoding.EncodeToString
	stored := sha256.Sum256(mac(salted, "Client Key"))
	return fmt.Sprintf("SCRAM-SHA-256$%d:%s$%s:%s", iterations, b64(salt), b64(stored[:]), b64(mac(salted, "Server Key"))), nil
}

// scramMatches reports whether verifier was made from password.
func scramMatches(verifier, password string) bool {
	rest, ok := strings.CutPrefix(verifier, "SCRAM-SHA-256$")
	if !ok {
		return false
	}
	head, _, _ := strings.Cut(rest, "$")
	count, encoded, _ := strings.Cut(head, ":")
	iterations, err := strconv.Atoi(count)
	if err != nil || iterations < 1 {
		return false
	}
	salt, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return false
	}
	want, err := scramWith(password, salt, iterations)
	return err == nil && hmac.Equal([]byte(want), []byte(verifier))
}

func mac(key []byte, msg string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(msg))
	return h.Sum(nil)
}
