package extract

// ShareSandbox makes r use the sandbox of another reader, which takes seconds to
// start.
func (r *Reader) ShareSandbox(of *Reader) { r.pdfium = of.pdfium }
