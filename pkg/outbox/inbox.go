package outbox

import (
	"context"
	"fmt"
	"strconv"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
)

// Once records in tx that consumer has taken the message, and reports whether
// this is the first time. When it is not, the handler must change nothing. A
// message that another transaction is taking at the moment makes Once wait for
// the outcome of that one. The row belongs to the transaction's project, to
// the instance when it is across projects, and is kept for thirty days.
func Once(ctx context.Context, tx *sqlx.Tx, consumer, messageID string) (first bool, err error) {
	if consumer == "" || messageID == "" {
		return false, fmt.Errorf("inbox: consumer %q, message %q: both are needed", consumer, messageID)
	}
	const q = `
		INSERT INTO inbox (project_id, consumer, message_id)
		VALUES (coalesce(nullif(current_setting('app.project_id', true), '')::bigint, 0), $1, $2)
		ON CONFLICT DO NOTHING`
	res, err := tx.ExecContext(ctx, q, consumer, messageID)
	if err != nil {
		return false, fmt.Errorf("inbox of %s: %w", consumer, err)
	}
	n, err := res.RowsAffected()
	if err != nil {
		return false, fmt.Errorf("inbox of %s: %w", consumer, err)
	}
	return n == 1, nil
}

// Began records, in a transaction of its own, that a try of a message begins,
// at its delivery of that number, and returns how many tries have begun without
// [Ended]. It tells a message that ends its process from one that was only in
// its hands. Of the deliveries the last hundred are looked at.
func Began(ctx context.Context, tx *sqlx.Tx, consumer, messageID string, delivery int) (int, error) {
	if _, err := Once(ctx, tx, try(consumer, delivery), messageID); err != nil {
		return 0, err
	}
	var all []string
	for n := max(1, delivery-99); n <= delivery; n++ {
		all = append(all, try(consumer, n))
	}
	const q = `
		SELECT count(*) FROM inbox
		WHERE  project_id = coalesce(nullif(current_setting('app.project_id', true), '')::bigint, 0)
		AND    consumer = ANY ($1) AND message_id = $2`
	var n int
	if err := tx.GetContext(ctx, &n, q, pq.Array(all), messageID); err != nil {
		return 0, fmt.Errorf("inbox of %s: %w", consumer, err)
	}
	return n, nil
}

// Ended takes back what [Began] recorded.
func Ended(ctx context.Context, tx *sqlx.Tx, consumer, messageID string, delivery int) error {
	const q = `
		DELETE FROM inbox
		WHERE  project_id = coalesce(nullif(current_setting('app.project_id', true), '')::bigint, 0)
		AND    consumer = $1 AND message_id = $2`
	if _, err := tx.ExecContext(ctx, q, try(consumer, delivery), messageID); err != nil {
		return fmt.Errorf("inbox of %s: %w", consumer, err)
	}
	return nil
}

// try is the consumer's name for one of its tries.
func try(consumer string, delivery int) string { return consumer + "#" + strconv.Itoa(delivery) }
