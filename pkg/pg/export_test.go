package pg

import "context"

// Begin begins a transaction with the statements, and rolls it back.
func (db *DB) Begin(ctx context.Context, statements string) error {
	tx, err := db.pool.BeginTxx(opening(ctx, statements), nil)
	if err != nil {
		return err
	}
	return tx.Rollback()
}
