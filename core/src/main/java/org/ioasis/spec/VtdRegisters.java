// SPDX-License-Identifier: Apache-2.0
package org.ioasis.spec;

/** Registers of capabilities (Intel VT-d, 11.4.2 and 11.4.3). Any thread. */
public final class VtdRegisters {
    /** Five levels in a first stage. */
    public static final long CAP_FL5LP = 1L << 60;

    /** Pages of 1 GiB in a first stage. */
    public static final long CAP_FL1GP = 1L << 56;

    public static final long ECAP_NEST = 1L << 26;
    public static final long ECAP_PRS = 1L << 29;
    public static final long ECAP_SRS = 1L << 31;
    public static final long ECAP_EAFS = 1L << 34;

    /** Bits of a PASID less one. */
    public static final int ECAP_PSS_AT = 35;

    public static final long ECAP_PASID = 1L << 40;
    public static final long ECAP_SMTS = 1L << 43;
    public static final long ECAP_SLTS = 1L << 46;
    public static final long ECAP_FLTS = 1L << 47;

    private VtdRegisters() {}
}
