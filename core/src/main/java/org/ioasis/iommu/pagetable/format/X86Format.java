// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu.pagetable.format;

import org.ioasis.iommu.pagetable.EntryKind;
import org.ioasis.iommu.pagetable.Half;
import org.ioasis.iommu.pagetable.Rights;
import org.ioasis.spec.X86Table;

/**
 * The table of x86-64 with four or five levels: first stage of VT-d (9.7 of its specification) and
 * guest translation of AMD (2.2.6). Any thread.
 *
 * <p>A page can always be read. Nothing forbids execution in tables that are made here: whether
 * that bit is reserved is the choice of a PASID entry.
 */
public final class X86Format extends PageSizeBitFormat {
    private static final Layout LAYOUT =
            new Layout(
                    X86Table.PAGE_LG2,
                    X86Table.ADDRESS_MASK,
                    X86Table.PAGE_SIZE,
                    X86Table.LARGE_PAT,
                    X86Table.DIRTY,
                    X86Table.LARGEST_PAGE_LEVEL);

    /** Addresses of fewer bits would have no level 2. */
    private static final int BITS_MIN = 31;

    private static final int BITS_MAX = 57;

    /** EAFE: accesses set a second bit beside the accessed one (VT-d, 9.7). */
    public static final int MARKS_EXTENDED = 1;

    /** WPE is 0: a privileged request may write to what is read only (VT-d, 3.6.1). */
    public static final int IGNORES_WRITE_PROTECTION = 1 << 1;

    private final long accessed;
    private final long writable;

    /**
     * @param bits of an address, the sign bit included; up to 48 with four levels
     * @param isSignExtended as VT-d and CPUs have it; AMD's first PASID counts from 0 on
     * @param outputBits that the host has; more in an entry are reserved bits
     */
    public X86Format(int bits, boolean isSignExtended, int outputBits) {
        this(bits, isSignExtended, outputBits, 0);
    }

    /**
     * The same as a PASID entry says.
     *
     * @param traits {@link #MARKS_EXTENDED} and its neighbour
     */
    public X86Format(int bits, boolean isSignExtended, int outputBits, int traits) {
        super(
                "x86-64-" + bits + (isSignExtended ? "-signed" : ""),
                LAYOUT,
                bits,
                outputBits,
                top(bits),
                isSignExtended ? Half.BOTH : Half.LOWER);
        this.accessed =
                X86Table.ACCESSED
                        | ((traits & MARKS_EXTENDED) == 0 ? 0 : X86Table.EXTENDED_ACCESSED);
        // An entry that is looked at is present, so one of the two bits is always there.
        this.writable =
                X86Table.WRITE | ((traits & IGNORES_WRITE_PROTECTION) == 0 ? 0 : X86Table.PRESENT);
        if (bits < BITS_MIN || bits > BITS_MAX || outputBits > X86Table.OUTPUT_BITS) {
            throw new IllegalArgumentException(
                    "x86-64 table from %d to %d bits".formatted(bits, outputBits));
        }
    }

    private static int top(int bits) {
        return (bits - BITS_MIN) / INDEX_LG2 + 2;
    }

    @Override
    boolean isPresent(long entry) {
        return (entry & X86Table.PRESENT) != 0;
    }

    @Override
    long present() {
        return X86Table.PRESENT;
    }

    @Override
    long forbidding() {
        return X86Table.WRITE | X86Table.USER | X86Table.EXECUTE_DISABLE;
    }

    @Override
    public int rights(long entry, int level) {
        return Rights.READ
                | ((entry & writable) == 0 ? 0 : Rights.WRITE)
                | ((entry & X86Table.USER) == 0 ? 0 : Rights.USER)
                | ((entry & X86Table.EXECUTE_DISABLE) == 0 ? Rights.EXECUTE : 0);
    }

    @Override
    public long tableEntry(long address, int level) {
        return X86Table.PRESENT | X86Table.WRITE | X86Table.USER | X86Table.ACCESSED | address;
    }

    @Override
    public long leafEntry(long output, int level, int sizeLg2, long attributes, int item) {
        return X86Table.PRESENT | output | attributes | (level == 0 ? 0 : X86Table.PAGE_SIZE);
    }

    @Override
    public long attributes(int rights) {
        long attributes = X86Table.USER | X86Table.ACCESSED;
        // Who writes need not be asked to mark it: hardware may lack the way to do so.
        return (rights & Rights.WRITE) == 0
                ? attributes
                : attributes | X86Table.WRITE | X86Table.DIRTY;
    }

    @Override
    public long attributesOf(long entry, int level) {
        return entry
                & (X86Table.WRITE
                        | X86Table.USER
                        | X86Table.ACCESSED
                        | X86Table.DIRTY
                        | X86Table.EXECUTE_DISABLE);
    }

    @Override
    public long marked(long entry, EntryKind kind, boolean isWrite) {
        return entry | accessed | (isWrite ? X86Table.DIRTY : 0);
    }

    @Override
    public boolean isGlobal(long entry) {
        return (entry & X86Table.GLOBAL) != 0;
    }

    @Override
    public boolean tracksDirty() {
        return false;
    }
}
