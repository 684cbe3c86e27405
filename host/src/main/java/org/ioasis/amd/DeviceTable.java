// SPDX-License-Identifier: Apache-2.0
package org.ioasis.amd;

import org.ioasis.iommu.pagetable.AddressSpace;
import org.ioasis.iommu.pagetable.BehindStage;
import org.ioasis.iommu.pagetable.Bits;
import org.ioasis.iommu.pagetable.ContextAnswer;
import org.ioasis.iommu.pagetable.EntryWords;
import org.ioasis.iommu.pagetable.Rights;
import org.ioasis.iommu.pagetable.Stage;
import org.ioasis.iommu.pagetable.TableAccess;
import org.ioasis.memory.Outcome;
import org.ioasis.spec.AmdDevice;
import org.jspecify.annotations.Nullable;

/**
 * The device table of an AMD IOMMU (2.2.2) and the guest CR3 tables behind its entries (2.2.6).
 * Each word is read once, every index is checked against the size that was said before, and a look
 * reads four entries at most. One thread.
 */
public final class DeviceTable {
    /** A request without a PASID. */
    public static final int NO_PASID = -1;

    private static final int ENTRY_WORDS = 3;

    private final TableAccess memory;
    private final long base;
    private final long bytes;
    private final int outputBits;
    private final EntryWords words = new EntryWords();

    private DeviceTable(TableAccess memory, long base, long bytes, int outputBits) {
        this.memory = memory;
        this.base = base;
        this.bytes = bytes;
        this.outputBits = outputBits;
    }

    /**
     * The table that the Device Table Base Address Register names.
     *
     * @param outputBits width of host addresses
     */
    public static DeviceTable of(TableAccess memory, long devTabBase, int outputBits) {
        long units = (devTabBase & AmdDevice.BASE_SIZE) + 1;
        return new DeviceTable(
                memory,
                devTabBase & AmdDevice.BASE_ADDRESS,
                units << AmdDevice.BASE_UNIT_LG2,
                outputBits);
    }

    /**
     * What requests of a device go through.
     *
     * @param rid 16 bits
     * @param pasid of a request with one, 20 bits, or {@link #NO_PASID}
     */
    public ContextAnswer<DeviceRefusal> find(int rid, int pasid) {
        long offset = (long) rid << AmdDevice.ENTRY_LG2;
        long at = base + offset;
        if (offset < 0 || offset >= bytes) {
            return ContextAnswer.refused(DeviceRefusal.BEYOND_TABLE, at);
        }
        if (words.read(memory, at, ENTRY_WORDS) != Outcome.OK) {
            return ContextAnswer.refused(DeviceRefusal.UNREADABLE, at);
        }
        DeviceEntry entry = new DeviceEntry(words.word(0), words.word(1), words.word(2));
        if (!entry.isValid()) {
            // A device that nobody has set up: memory as it is.
            AddressSpace plain = new AddressSpace(null, null, 0, 0, Rights.ALL);
            return pasid == NO_PASID
                    ? ContextAnswer.of(plain, at)
                    : ContextAnswer.refused(DeviceRefusal.NO_GUEST, at);
        }
        if (!entry.hasTranslation()) {
            return ContextAnswer.refused(DeviceRefusal.NO_TRANSLATION, at);
        }
        if (!entry.isLegal()) {
            return ContextAnswer.refused(DeviceRefusal.ILLEGAL, at);
        }
        Stage host = entry.host();
        if (pasid == NO_PASID && !entry.isGuestWithoutPasid()) {
            return ContextAnswer.of(
                    new AddressSpace(null, host, entry.domain(), 0, entry.rights()), at);
        }
        if (!entry.hasGuest()) {
            return ContextAnswer.refused(DeviceRefusal.NO_GUEST, at);
        }
        return findGuest(entry, host, pasid);
    }

    /**
     * What requests of a device go through whose entry came by a call: the guest's table, at
     * addresses that somebody else translates.
     *
     * @param memory at those addresses
     * @param entry with a guest's table and without a host's
     */
    static ContextAnswer<DeviceRefusal> findGuest(
            TableAccess memory, DeviceEntry entry, int pasid, int outputBits) {
        return new DeviceTable(memory, 0, 0, outputBits).findGuest(entry, null, pasid);
    }

    private ContextAnswer<DeviceRefusal> findGuest(
            DeviceEntry entry, @Nullable Stage host, int pasid) {
        int index = pasid == NO_PASID ? 0 : pasid;
        int levels = entry.guestIndexLevels() + 1;
        TableAccess tables = host == null ? memory : new BehindStage(host, memory);
        long table = entry.gcr3();
        if (index >>> (levels * AmdDevice.GCR3_INDEX_LG2) != 0) {
            return ContextAnswer.refused(DeviceRefusal.PASID_TOO_LARGE, table);
        }
        long at = table;
        for (int level = levels - 1; level >= 0; level--) {
            long slot =
                    index >>> (level * AmdDevice.GCR3_INDEX_LG2)
                            & Bits.mask(AmdDevice.GCR3_INDEX_LG2);
            at = table + (slot << AmdDevice.GCR3_ENTRY_LG2);
            if (words.read(tables, at, 1) != Outcome.OK) {
                return ContextAnswer.refused(DeviceRefusal.GCR3_UNREADABLE, at);
            }
            if ((words.word(0) & AmdDevice.GCR3_VALID) == 0) {
                return ContextAnswer.refused(DeviceRefusal.GCR3_ABSENT, at);
            }
            table = words.word(0) & AmdDevice.GCR3_ADDRESS;
        }
        int bits = host == null ? outputBits : Math.min(outputBits, host.format().inputBits());
        Stage guest = entry.guest(table, pasid != NO_PASID, bits);
        AddressSpace space = new AddressSpace(guest, host, entry.domain(), index, entry.rights());
        return ContextAnswer.of(space, at);
    }
}
