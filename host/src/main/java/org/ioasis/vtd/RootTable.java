// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vtd;

import org.ioasis.iommu.pagetable.AddressSpace;
import org.ioasis.iommu.pagetable.ContextAnswer;
import org.ioasis.iommu.pagetable.EntryWords;
import org.ioasis.iommu.pagetable.Rights;
import org.ioasis.iommu.pagetable.Stage;
import org.ioasis.iommu.pagetable.TableAccess;
import org.ioasis.memory.Outcome;
import org.ioasis.spec.VtdTables;
import org.jspecify.annotations.Nullable;

/**
 * The root table of a VT-d (9.1), legacy or scalable, and what is below it: context entries, and in
 * scalable mode PASID directories and tables. Each word is read once, every index is checked
 * against the size that was said before, and a look reads four entries at most. One thread.
 */
public final class RootTable {
    /** A request without a PASID. */
    public static final int NO_PASID = -1;

    private static final int DEVICES_LG2 = 8;
    private static final int HALF_LG2 = 7;
    private static final int PASID_WORDS = 3;

    private final TableAccess memory;
    private final long base;
    private final boolean isScalable;
    private final int outputBits;
    private final EntryWords words = new EntryWords();

    private RootTable(TableAccess memory, long base, boolean isScalable, int outputBits) {
        this.memory = memory;
        this.base = base;
        this.isScalable = isScalable;
        this.outputBits = outputBits;
    }

    /**
     * The table that RTADDR_REG names (11.4.5). A mode that is reserved is taken as the legacy one.
     *
     * @param outputBits width of host addresses
     */
    public static RootTable of(TableAccess memory, long rtaddr, int outputBits) {
        long mode = rtaddr >>> VtdTables.RTADDR_MODE_AT & VtdTables.RTADDR_MODE_MASK;
        boolean isScalable = mode == VtdTables.MODE_SCALABLE;
        return new RootTable(memory, rtaddr & VtdTables.ADDRESS, isScalable, outputBits);
    }

    /**
     * What requests of a function go through.
     *
     * @param rid bus, device and function, 16 bits
     * @param pasid of a request with one, 20 bits, or {@link #NO_PASID}
     * @param isPrivileged whether it asks for privileged access
     */
    public ContextAnswer<VtdRefusal> find(int rid, int pasid, boolean isPrivileged) {
        return isScalable ? findScalable(rid, pasid, isPrivileged) : findLegacy(rid, pasid);
    }

    // Legacy mode (9.1, 9.3)
    // ---------------------------------------------------------------------------------------------

    private ContextAnswer<VtdRefusal> findLegacy(int rid, int pasid) {
        long root = base + ((long) bus(rid) << VtdTables.ROOT_LG2);
        if (words.read(memory, root, 2) != Outcome.OK) {
            return ContextAnswer.refused(VtdRefusal.ROOT_UNREADABLE, root);
        }
        if ((words.word(0) & VtdTables.PRESENT) == 0) {
            return ContextAnswer.refused(VtdRefusal.ROOT_ABSENT, root);
        }
        if ((words.word(0) & VtdTables.ROOT_RESERVED) != 0 || words.word(1) != 0) {
            return ContextAnswer.refused(VtdRefusal.ROOT_RESERVED, root);
        }
        long devfn = rid & ((1 << DEVICES_LG2) - 1);
        long at = (words.word(0) & VtdTables.ADDRESS) + (devfn << VtdTables.CONTEXT_LG2);
        if (words.read(memory, at, 2) != Outcome.OK) {
            return ContextAnswer.refused(VtdRefusal.CONTEXT_UNREADABLE, at);
        }
        long low = words.word(0);
        long high = words.word(1);
        if ((low & VtdTables.PRESENT) == 0) {
            return ContextAnswer.refused(VtdRefusal.CONTEXT_ABSENT, at);
        }
        if ((low & VtdTables.CONTEXT_RESERVED) != 0) {
            return ContextAnswer.refused(VtdRefusal.CONTEXT_RESERVED, at);
        }
        if (pasid != NO_PASID) {
            return ContextAnswer.refused(VtdRefusal.UNSUPPORTED_REQUEST, at);
        }
        int domain = (int) (high >>> VtdTables.CONTEXT_DOMAIN_AT & VtdTables.PASID_DOMAIN);
        int type = (int) (low >>> VtdTables.CONTEXT_TYPE_AT & VtdTables.CONTEXT_TYPE_MASK);
        return switch (type) {
            case VtdTables.TYPE_UNTRANSLATED, VtdTables.TYPE_ALL -> {
                int width = (int) (high & VtdTables.CONTEXT_WIDTH_MASK);
                Stage second = PasidEntry.second(low & VtdTables.ADDRESS, width, outputBits, false);
                yield second == null
                        ? ContextAnswer.refused(VtdRefusal.CONTEXT_INVALID, at)
                        : ContextAnswer.of(space(null, second, domain, 0), at);
            }
            case VtdTables.TYPE_PASS_THROUGH -> ContextAnswer.of(space(null, null, domain, 0), at);
            default -> ContextAnswer.refused(VtdRefusal.CONTEXT_INVALID, at);
        };
    }

    // Scalable mode (9.2, 9.4 to 9.6)
    // ---------------------------------------------------------------------------------------------

    private ContextAnswer<VtdRefusal> findScalable(int rid, int pasid, boolean isPrivileged) {
        int devfn = rid & ((1 << DEVICES_LG2) - 1);
        // One word for devices 0 to 15, one for 16 to 31.
        long root =
                base
                        + ((long) bus(rid) << VtdTables.ROOT_LG2)
                        + (long) (devfn >>> HALF_LG2) * Long.BYTES;
        if (words.read(memory, root, 1) != Outcome.OK) {
            return ContextAnswer.refused(VtdRefusal.SCALABLE_ROOT_UNREADABLE, root);
        }
        if ((words.word(0) & VtdTables.PRESENT) == 0) {
            return ContextAnswer.refused(VtdRefusal.SCALABLE_ROOT_ABSENT, root);
        }
        long index = devfn & ((1 << HALF_LG2) - 1);
        long at = (words.word(0) & VtdTables.ADDRESS) + (index << VtdTables.SCALABLE_CONTEXT_LG2);
        if (words.read(memory, at, 2) != Outcome.OK) {
            return ContextAnswer.refused(VtdRefusal.SCALABLE_CONTEXT_UNREADABLE, at);
        }
        long low = words.word(0);
        if ((low & VtdTables.PRESENT) == 0) {
            return ContextAnswer.refused(VtdRefusal.SCALABLE_CONTEXT_ABSENT, at);
        }
        if (pasid != NO_PASID && (low & VtdTables.SCALABLE_PASID_ENABLE) == 0) {
            return ContextAnswer.refused(VtdRefusal.PASID_NOT_ENABLED, at);
        }
        int asked =
                pasid == NO_PASID ? (int) (words.word(1) & VtdTables.SCALABLE_RID_PASID) : pasid;
        int size = (int) (low >>> VtdTables.SCALABLE_SIZE_AT & VtdTables.SCALABLE_SIZE_MASK);
        int directoryLg2 = VtdTables.DIRECTORY_LG2 + size;
        int directoryIndex = asked >>> VtdTables.PASIDS_LG2;
        if (asked >>> VtdTables.PASID_BITS != 0 || directoryIndex >>> directoryLg2 != 0) {
            return ContextAnswer.refused(VtdRefusal.PASID_TOO_LARGE, at);
        }
        long directory =
                (low & VtdTables.ADDRESS)
                        + ((long) directoryIndex << VtdTables.DIRECTORY_ENTRY_LG2);
        return findPasid(directory, asked, isPrivileged);
    }

    private ContextAnswer<VtdRefusal> findPasid(long directory, int pasid, boolean isPrivileged) {
        if (words.read(memory, directory, 1) != Outcome.OK) {
            return ContextAnswer.refused(VtdRefusal.DIRECTORY_UNREADABLE, directory);
        }
        if ((words.word(0) & VtdTables.PRESENT) == 0) {
            return ContextAnswer.refused(VtdRefusal.DIRECTORY_ABSENT, directory);
        }
        long index = pasid & ((1 << VtdTables.PASIDS_LG2) - 1);
        long at = (words.word(0) & VtdTables.ADDRESS) + (index << VtdTables.PASID_ENTRY_LG2);
        if (words.read(memory, at, PASID_WORDS) != Outcome.OK) {
            return ContextAnswer.refused(VtdRefusal.PASID_UNREADABLE, at);
        }
        PasidEntry entry = new PasidEntry(words.word(0), words.word(1), words.word(2));
        if (!entry.isPresent()) {
            return ContextAnswer.refused(VtdRefusal.PASID_ABSENT, at);
        }
        if (!entry.isTypeKnown()) {
            return ContextAnswer.refused(VtdRefusal.PASID_INVALID, at);
        }
        if (isPrivileged && entry.hasFirst() && !entry.admitsSupervisor()) {
            return ContextAnswer.refused(VtdRefusal.SUPERVISOR, at);
        }
        Stage second = entry.hasSecond() ? entry.second(outputBits) : null;
        if (entry.hasSecond() && second == null) {
            return ContextAnswer.refused(VtdRefusal.PASID_INVALID, at);
        }
        Stage first = entry.hasFirst() ? entry.first(outputBits, isPrivileged) : null;
        if (entry.hasFirst() && first == null) {
            return ContextAnswer.refused(VtdRefusal.PASID_INVALID, at);
        }
        return ContextAnswer.of(space(first, second, entry.domain(), pasid), at);
    }

    private static int bus(int rid) {
        return rid >>> DEVICES_LG2 & ((1 << DEVICES_LG2) - 1);
    }

    private static AddressSpace space(
            @Nullable Stage first, @Nullable Stage second, int domain, int pasid) {
        return new AddressSpace(first, second, domain, pasid, Rights.ALL);
    }
}
