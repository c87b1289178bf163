package federation

// ReadCatalog is readCatalog, for the faults alone.
func ReadCatalog(path string) error {
	_, err := readCatalog(path)
	return err
}
