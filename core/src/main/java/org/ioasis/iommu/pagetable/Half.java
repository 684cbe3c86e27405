// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu.pagetable;

/** Which addresses of 64 bits a table of fewer bits is for. Any thread. */
public enum Half {
    /** From 0 on: bits above the width are 0. */
    LOWER,

    /** Up to 2^64-1: bits above the width are 1 (TTBR1 of ARM). */
    UPPER,

    /** Sign-extended (x86-64): bits above the width equal its highest, with a hole between. */
    BOTH
}
