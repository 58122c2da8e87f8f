#include "textflag.h"

// Vector instructions that Go's assembler has no names for. Operands in its
// order: the destination last.
#define UCVTF4S(n, d) WORD $(0x6E21D800 | (n)<<5 | (d))
#define FMUL4S(m, n, d) WORD $(0x6E20DC00 | (m)<<16 | (n)<<5 | (d))
#define FADD4S(m, n, d) WORD $(0x4E20D400 | (m)<<16 | (n)<<5 | (d))
#define FSUB4S(m, n, d) WORD $(0x4EA0D400 | (m)<<16 | (n)<<5 | (d)) // d = n - m
#define FCMGT4S(m, n, d) WORD $(0x6EA0E400 | (m)<<16 | (n)<<5 | (d)) // n > m
#define SXTL8H(n, d) WORD $(0x0F08A400 | (n)<<5 | (d))
#define SXTL28H(n, d) WORD $(0x4F08A400 | (n)<<5 | (d))
#define SMLAL4S(m, n, d) WORD $(0x0E608000 | (m)<<16 | (n)<<5 | (d))
#define SMLAL24S(m, n, d) WORD $(0x4E608000 | (m)<<16 | (n)<<5 | (d))
#define FCVTL2D(n, d) WORD $(0x0E617800 | (n)<<5 | (d))
#define FCVTL22D(n, d) WORD $(0x4E617800 | (n)<<5 | (d))
#define FADD2D(m, n, d) WORD $(0x4E60D400 | (m)<<16 | (n)<<5 | (d))
#define FADDP2D(m, n, d) WORD $(0x6E60D400 | (m)<<16 | (n)<<5 | (d)) // pairs of n, then of m
#define FADDPD(n, d) WORD $(0x7E70D800 | (n)<<5 | (d))

DATA bits<>+0(SB)/8, $0x0000000200000001
DATA bits<>+8(SB)/8, $0x0000000800000004
GLOBL bits<>(SB), RODATA|NOPTR, $16

// Signs of the second half of a pair, in the first two steps of a transform.
DATA sign1<>+0(SB)/8, $0x8000000000000000
DATA sign1<>+8(SB)/8, $0x8000000000000000
GLOBL sign1<>(SB), RODATA|NOPTR, $16
DATA sign2<>+0(SB)/8, $0
DATA sign2<>+8(SB)/8, $0x8000000080000000
GLOBL sign2<>(SB), RODATA|NOPTR, $16

// One pair for sixteen rows: codes C, tables V20 and V21, sum of the two
// look-ups to OUT; T is spoilt.
#define LOOK2(C, T, OUT) \
	VAND V31.B16, C.B16, T.B16; \
	VUSHR $4, C.B16, C.B16; \
	VTBL T.B16, [V20.B16], OUT.B16; \
	VTBL C.B16, [V21.B16], T.B16; \
	VADD T.B16, OUT.B16, OUT.B16

// Four rows' sums in register n, their factors in f: the estimates, and the
// bits of those above the bar to V26. V19 is spoilt.
#define HALF(n, f) \
	UCVTF4S(n, n); \
	FMUL4S(28, n, n); \
	FADD4S(29, n, n); \
	FMUL4S(f, n, n); \
	FCMGT4S(30, n, 19); \
	VAND V27.B16, V19.B16, V19.B16; \
	VORR V19.B16, V26.B16, V26.B16; \
	VSHL $4, V27.S4, V27.S4

// func scanVector(table, units *byte, pairs, n int, a, b, bar float32, est *float32, mask *uint32)
TEXT ·scanVector(SB), NOSPLIT, $0-64
	MOVD table+0(FP), R0
	MOVD units+8(FP), R1
	MOVD pairs+16(FP), R2
	MOVD n+24(FP), R3
	MOVWU a+32(FP), R4
	VDUP R4, V28.S4
	MOVWU b+36(FP), R4
	VDUP R4, V29.S4
	MOVWU bar+40(FP), R4
	VDUP R4, V30.S4
	MOVD est+48(FP), R5
	MOVD mask+56(FP), R6
	MOVD $15, R4
	VDUP R4, V31.B16
	MOVD $bits<>(SB), R7
	VLD1 (R7), [V25.B16]
	LSR $1, R2, R2

unit:
	VEOR V0.B16, V0.B16, V0.B16 // rows 0-7
	VEOR V1.B16, V1.B16, V1.B16
	VEOR V2.B16, V2.B16, V2.B16
	VEOR V3.B16, V3.B16, V3.B16 // rows 24-31
	MOVD R0, R7
	MOVD R2, R8

pairs2:
	// Entries are at most 63, so four of them stay below 256.
	PRFM 2048(R1), PLDL1KEEP
	VLD1.P 64(R1), [V4.B16, V5.B16, V6.B16, V7.B16]
	VLD1.P 32(R7), [V20.B16, V21.B16]
	LOOK2(V4, V16, V8)
	LOOK2(V5, V16, V9)
	VLD1.P 32(R7), [V20.B16, V21.B16]
	LOOK2(V6, V16, V10)
	LOOK2(V7, V16, V11)
	VADD V10.B16, V8.B16, V8.B16
	VADD V11.B16, V9.B16, V9.B16
	VUADDW V8.B8, V0.H8, V0.H8
	VUADDW2 V8.B16, V1.H8, V1.H8
	VUADDW V9.B8, V2.H8, V2.H8
	VUADDW2 V9.B16, V3.H8, V3.H8
	SUBS $1, R8, R8
	BNE pairs2

	VLD1.P 64(R1), [V20.S4, V21.S4, V22.S4, V23.S4]
	VMOV V25.B16, V27.B16
	VEOR V26.B16, V26.B16, V26.B16
	VUSHLL $0, V0.H4, V4.S4
	VUSHLL2 $0, V0.H8, V5.S4
	VUSHLL $0, V1.H4, V6.S4
	VUSHLL2 $0, V1.H8, V7.S4
	HALF(4, 20)
	HALF(5, 21)
	HALF(6, 22)
	HALF(7, 23)
	VLD1.P 64(R1), [V20.S4, V21.S4, V22.S4, V23.S4]
	VUSHLL $0, V2.H4, V8.S4
	VUSHLL2 $0, V2.H8, V9.S4
	VUSHLL $0, V3.H4, V10.S4
	VUSHLL2 $0, V3.H8, V11.S4
	HALF(8, 20)
	HALF(9, 21)
	HALF(10, 22)
	HALF(11, 23)
	VADDV V26.S4, V26 // the bits are all different
	VMOV V26.S[0], R8
	CBZW R8, none
	MOVD R5, R9
	VST1.P [V4.S4, V5.S4, V6.S4, V7.S4], 64(R9)
	VST1 [V8.S4, V9.S4, V10.S4, V11.S4], (R9)

none:
	MOVW.P R8, 4(R6)
	ADD $128, R5, R5
	SUBS $1, R3, R3
	BNE unit
	RET

// func dotInt8Vector(q *int16, rows *byte, dim, n int, out *int32)
TEXT ·dotInt8Vector(SB), NOSPLIT, $0-40
	MOVD q+0(FP), R0
	MOVD rows+8(FP), R1
	MOVD dim+16(FP), R2
	MOVD n+24(FP), R3
	MOVD out+32(FP), R4

row:
	VEOR V0.B16, V0.B16, V0.B16
	VEOR V1.B16, V1.B16, V1.B16
	VEOR V2.B16, V2.B16, V2.B16
	VEOR V3.B16, V3.B16, V3.B16
	MOVD R0, R5
	MOVD R2, R6

dims32:
	VLD1.P 64(R5), [V4.H8, V5.H8, V6.H8, V7.H8]
	VLD1.P 32(R1), [V8.B16, V9.B16]
	SXTL8H(8, 16)
	SXTL28H(8, 17)
	SXTL8H(9, 18)
	SXTL28H(9, 19)
	SMLAL4S(4, 16, 0)
	SMLAL24S(4, 16, 1)
	SMLAL4S(5, 17, 2)
	SMLAL24S(5, 17, 3)
	SMLAL4S(6, 18, 0)
	SMLAL24S(6, 18, 1)
	SMLAL4S(7, 19, 2)
	SMLAL24S(7, 19, 3)
	SUBS $32, R6, R6
	BNE dims32

	VADD V1.S4, V0.S4, V0.S4
	VADD V3.S4, V2.S4, V2.S4
	VADD V2.S4, V0.S4, V0.S4
	VADDV V0.S4, V0
	VMOV V0.S[0], R7
	MOVW.P R7, 4(R4)
	SUBS $1, R3, R3
	BNE row
	RET

// func dotFloatVector(a, b *float32, n int) float64
TEXT ·dotFloatVector(SB), NOSPLIT, $0-32
	MOVD a+0(FP), R0
	MOVD b+8(FP), R1
	MOVD n+16(FP), R2
	VEOR V0.B16, V0.B16, V0.B16
	VEOR V1.B16, V1.B16, V1.B16
	VEOR V2.B16, V2.B16, V2.B16
	VEOR V3.B16, V3.B16, V3.B16
	VEOR V4.B16, V4.B16, V4.B16
	VEOR V5.B16, V5.B16, V5.B16
	VEOR V6.B16, V6.B16, V6.B16
	VEOR V7.B16, V7.B16, V7.B16

// Four elements: N of a, M of b, to the accumulators of two lanes each.
#define FOUR(n, m, LOW, HIGH) \
	FCVTL2D(n, 24); \
	FCVTL22D(n, 25); \
	FCVTL2D(m, 26); \
	FCVTL22D(m, 27); \
	VFMLA V24.D2, V26.D2, LOW.D2; \
	VFMLA V25.D2, V27.D2, HIGH.D2

dims16:
	VLD1.P 64(R0), [V16.S4, V17.S4, V18.S4, V19.S4]
	VLD1.P 64(R1), [V20.S4, V21.S4, V22.S4, V23.S4]
	FOUR(16, 20, V0, V1)
	FOUR(17, 21, V2, V3)
	FOUR(18, 22, V4, V5)
	FOUR(19, 23, V6, V7)
	SUBS $16, R2, R2
	BNE dims16

	FADD2D(2, 0, 0)
	FADD2D(3, 1, 1)
	FADD2D(6, 4, 4)
	FADD2D(7, 5, 5)
	FADD2D(4, 0, 0)
	FADD2D(5, 1, 1)
	FADDP2D(1, 0, 0)
	FADDPD(0, 0)
	FMOVD F0, ret+24(FP)
	RET

// func scaleVector(x, c *float32, n int)
TEXT ·scaleVector(SB), NOSPLIT, $0-24
	MOVD x+0(FP), R0
	MOVD c+8(FP), R1
	MOVD n+16(FP), R2

eight:
	VLD1 (R0), [V0.S4, V1.S4]
	VLD1.P 32(R1), [V2.S4, V3.S4]
	FMUL4S(2, 0, 0)
	FMUL4S(3, 1, 1)
	VST1.P [V0.S4, V1.S4], 32(R0)
	SUBS $8, R2, R2
	BNE eight
	RET

// func hadamardVector(x *float32, n int)
TEXT ·hadamardVector(SB), NOSPLIT, $0-16
	MOVD x+0(FP), R0
	MOVD n+8(FP), R1
	LSL $2, R1, R1
	ADD R0, R1, R2 // end
	MOVD $sign1<>(SB), R3
	VLD1 (R3), [V30.B16]
	MOVD $sign2<>(SB), R3
	VLD1 (R3), [V31.B16]
	MOVD R0, R3

	// Distances 1 and 2 within a register: add the neighbours, exchanged, to
	// the register with the second of each pair negated.
first:
	VLD1 (R3), [V0.B16]
	VREV64 V0.S4, V1.S4
	VEOR V30.B16, V0.B16, V0.B16
	FADD4S(1, 0, 0)
	VEXT $8, V0.B16, V0.B16, V1.B16
	VEOR V31.B16, V0.B16, V0.B16
	FADD4S(1, 0, 0)
	VST1.P [V0.B16], 16(R3)
	CMP R2, R3
	BLO first

	MOVD $16, R4 // distance in bytes

stage:
	MOVD R0, R5

runs:
	ADD R4, R5, R6
	MOVD R6, R7 // end of the first run

pair:
	VLD1 (R5), [V0.S4]
	VLD1 (R6), [V1.S4]
	FADD4S(1, 0, 2)
	FSUB4S(1, 0, 3)
	VST1.P [V2.S4], 16(R5)
	VST1.P [V3.S4], 16(R6)
	CMP R7, R5
	BLO pair
	MOVD R6, R5
	CMP R2, R5
	BLO runs
	LSL $1, R4, R4
	CMP R1, R4
	BLO stage
	RET

// func butterflyVector(x, y *float32, n int)
TEXT ·butterflyVector(SB), NOSPLIT, $0-24
	MOVD x+0(FP), R0
	MOVD y+8(FP), R1
	MOVD n+16(FP), R2

both:
	VLD1 (R0), [V0.S4, V1.S4]
	VLD1 (R1), [V2.S4, V3.S4]
	FADD4S(2, 0, 4)
	FADD4S(3, 1, 5)
	FSUB4S(2, 0, 6)
	FSUB4S(3, 1, 7)
	VST1.P [V4.S4, V5.S4], 32(R0)
	VST1.P [V6.S4, V7.S4], 32(R1)
	SUBS $8, R2, R2
	BNE both
	RET

// func fetch(p *byte, n int)
TEXT ·fetch(SB), NOSPLIT, $0-16
	MOVD p+0(FP), R0
	MOVD n+8(FP), R1
	ADD R0, R1, R1

line:
	PRFM (R0), PLDL1KEEP
	ADD $64, R0, R0
	CMP R1, R0
	BLO line
	RET
