package kernel

import "math"

// matMulPlain goes over c in blocks of 4 rows by 4 columns, so that each
// number that is read is used four times.
func matMulPlain(c []float32, ldc int, a []float32, lda, m int, b Matrix, bias []float32) {
	for n := 0; n < b.N; n += 4 {
		panel := b.Data[n/Panel*b.K*Panel+n%Panel:]
		var b0, b1, b2, b3 float32
		if bias != nil {
			b0, b1, b2, b3 = bias[n], bias[n+1], bias[n+2], bias[n+3]
		}
		i := 0
		for ; i+2 <= m; i += 2 {
			a0, a1 := a[i*lda:][:b.K], a[(i+1)*lda:][:b.K]
			s00, s01, s02, s03 := b0, b1, b2, b3
			s10, s11, s12, s13 := b0, b1, b2, b3
			for k, u := range a0 {
				v := a1[k]
				w := panel[k*Panel:][:4]
				s00 += u * w[0]
				s01 += u * w[1]
				s02 += u * w[2]
				s03 += u * w[3]
				s10 += v * w[0]
				s11 += v * w[1]
				s12 += v * w[2]
				s13 += v * w[3]
			}
			r0, r1 := c[i*ldc+n:][:4], c[(i+1)*ldc+n:][:4]
			r0[0], r0[1], r0[2], r0[3] = s00, s01, s02, s03
			r1[0], r1[1], r1[2], r1[3] = s10, s11, s12, s13
		}
		for ; i < m; i++ {
			s0, s1, s2, s3 := b0, b1, b2, b3
			for k, u := range a[i*lda:][:b.K] {
				w := panel[k*Panel:][:4]
				s0 += u * w[0]
				s1 += u * w[1]
				s2 += u * w[2]
				s3 += u * w[3]
			}
			r := c[i*ldc+n:][:4]
			r[0], r[1], r[2], r[3] = s0, s1, s2, s3
		}
	}
}

func softmaxPlain(x []float32, rows, width, ld int, scale float32) {
	for i := range rows {
		row := x[i*ld:][:width]
		top := float32(math.Inf(-1))
		for _, v := range row {
			top = max(top, v)
		}
		var sum float32
		for j, v := range row {
			e := expPlain((v - top) * scale)
			row[j] = e
			sum += e
		}
		inv := 1 / sum
		for j := range row {
			row[j] *= inv
		}
	}
}

// expPlain is exp(x) for x up to 0 in the steps of the assembly.
func expPlain(x float32) float32 {
	if !(x >= -64) {
		return 0
	}
	const log2e, ln2hi, ln2lo = 1.44269504, 0.693359375, -2.12194440e-4
	n := float32(int32(x*log2e - 0.5))
	r := x - n*ln2hi
	r -= n * ln2lo
	p := float32(1.9875691500e-4)
	p = p*r + 1.3981999507e-3
	p = p*r + 8.3334519073e-3
	p = p*r + 4.1665795894e-2
	p = p*r + 1.6666665459e-1
	p = p*r + 0.5
	p = p*r + 1
	p = p*r + 1
	return p * math.Float32frombits(uint32(int32(n)+127)<<23)
}

func geluPlain(x []float32) {
	for i, v := range x {
		x[i] = 0.5 * v * (1 + erfPlain(v*math.Sqrt2/2))
	}
}

// erfPlain is a rational approximation of erf, at most 4.5e-7 off.
func erfPlain(x float32) float32 {
	x = max(min(x, 4), -4)
	q := x * x
	a := float32(-2.72614225801306e-10)
	a = a*q + 2.77068142495902e-08
	a = a*q - 2.10102402082508e-06
	a = a*q - 5.69250639462346e-05
	a = a*q - 7.34990630326855e-04
	a = a*q - 2.95459980854025e-03
	a = a*q - 1.60960333262415e-02
	b := float32(-1.45660718464996e-05)
	b = b*q - 2.13374055278905e-04
	b = b*q - 1.68282697438203e-03
	b = b*q - 7.37332916720468e-03
	b = b*q - 1.42647390514189e-02
	return a * x / b
}

func addNormPlain(x, y, gamma, beta []float32, rows int, eps float32) {
	width := len(gamma)
	for i := range rows {
		r := x[i*width:][:width]
		var sum float32
		for j, v := range y[i*width:][:width] {
			r[j] += v
			sum += r[j]
		}
		mean := sum / float32(width)
		var square float32
		for _, v := range r {
			d := v - mean
			square += d * d
		}
		inv := float32(1 / math.Sqrt(float64(square/float32(width)+eps)))
		for j, v := range r {
			r[j] = (v-mean)*inv*gamma[j] + beta[j]
		}
	}
}
