// SPDX-License-Identifier: Apache-2.0
package org.ioasis.pci;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.List;
import org.ioasis.spec.Pci;

/**
 * What a function of one's own shows of itself before it does anything (PCI 3.0, 6): identity,
 * BARs, MSI-X, further capabilities. Immutable; any thread.
 *
 * @param vendor 0 to 0xfffe: 0xffff is what nobody answers
 * @param device 0 to 0xffff
 * @param revision 0 to 0xff
 * @param classCode base class, sub-class and programming interface, 24 bits
 * @param subsystemVendor 0 to 0xffff
 * @param subsystem 0 to 0xffff
 * @param bars memory BARs, without that of MSI-X
 * @param vectors of MSI-X, 0 to {@link #VECTORS_MAX}
 * @param msixBar the BAR, of 4096 bytes, that holds nothing but the table; -1 without vectors
 * @param capabilities in the order of the list, behind that of MSI-X
 */
public record FunctionLayout(
        int vendor,
        int device,
        int revision,
        int classCode,
        int subsystemVendor,
        int subsystem,
        List<Bar> bars,
        int vectors,
        int msixBar,
        List<Capability> capabilities) {

    /** Most vectors of MSI-X. */
    public static final int VECTORS_MAX = MsixTable.VECTORS_MAX;

    private static final int BAR_SIZE_MIN = 16;
    private static final int BAR_SIZE_MAX = 1 << 30;
    static final int MSIX_BAR_SIZE = 0x1000;

    public FunctionLayout {
        bars = List.copyOf(bars);
        capabilities = List.copyOf(capabilities);
    }

    /**
     * A memory BAR, 32-bit and not prefetchable.
     *
     * @param number 0 to 5
     * @param bytes a power of two, 16 bytes to 1 GiB
     */
    public record Bar(int number, int bytes) {
        public Bar {
            if (number < 0 || number >= Pci.BAR_COUNT) {
                throw new IllegalArgumentException("there is no BAR " + number);
            }
            if (bytes < BAR_SIZE_MIN || bytes > BAR_SIZE_MAX || Integer.bitCount(bytes) != 1) {
                throw new IllegalArgumentException("BAR " + number + " of " + bytes + " bytes");
            }
        }
    }

    /** An entry of the list of capabilities (PCI 3.0, 6.7). Immutable. */
    public static final class Capability {
        private final int id;
        private final byte[] content;
        private final byte[] writable;

        /**
         * @param id 1 to 0xff
         * @param content what stands behind the two bytes of id and next
         * @param writable the bits of it that a driver can write, as many bytes
         */
        public Capability(int id, byte[] content, byte[] writable) {
            if (id < 1 || id > 0xff) {
                throw new IllegalArgumentException("no capability: 0x%x".formatted(id));
            }
            if (content.length != writable.length) {
                throw new IllegalArgumentException(
                        "%d bytes of a capability, and a mask of %d"
                                .formatted(content.length, writable.length));
            }
            this.id = id;
            this.content = content.clone();
            this.writable = writable.clone();
        }

        /** One that a driver cannot write to. */
        public Capability(int id, byte[] content) {
            this(id, content, new byte[content.length]);
        }

        private int size() {
            return Pci.CAP_LIST_NEXT + 1 + content.length;
        }
    }

    /**
     * A layout piece by piece, beginning with no BAR and no vector, revision 1 and a class of
     * devices that fit in no other (0xff0000).
     */
    public static Builder builder(int vendor, int device) {
        return new Builder(vendor, device);
    }

    /** The same with something else chosen. */
    public Builder toBuilder() {
        Builder builder =
                new Builder(vendor, device)
                        .revision(revision)
                        .classCode(classCode)
                        .subsystem(subsystemVendor, subsystem);
        builder.bars.addAll(bars);
        builder.capabilities.addAll(capabilities);
        return vectors == 0 ? builder : builder.msix(msixBar, vectors);
    }

    /** Where the first capability with this id stands, 0x40 to 0xfe; -1 if there is none. */
    public int capabilityAt(int id) {
        int at = Pci.HEADER_END;
        if (vectors > 0) {
            if (id == Pci.CAP_ID_MSIX) {
                return at;
            }
            at += Pci.MSIX_CAP_SIZE;
        }
        for (Capability each : capabilities) {
            if (each.id == id) {
                return at;
            }
            at += aligned(each.size());
        }
        return -1;
    }

    /** Bytes of configuration space: a function of PCI Express has more of them. */
    public int configSize() {
        return capabilityAt(Pci.CAP_ID_EXPRESS) < 0
                ? Pci.CONFIG_SPACE_SIZE
                : Pci.EXPRESS_CONFIG_SPACE_SIZE;
    }

    /** Capabilities begin at multiples of four (6.7). */
    private static int aligned(int size) {
        return (size + 3) & -4;
    }

    /** Bytes of BAR {@code bar}; 0 if there is none. */
    int barSize(int bar) {
        for (Bar each : bars) {
            if (each.number == bar) {
                return each.bytes;
            }
        }
        return bar == msixBar ? MSIX_BAR_SIZE : 0;
    }

    void define(ConfigSpace config) {
        config.define(Pci.VENDOR_ID, 2, vendor);
        config.define(Pci.DEVICE_ID, 2, device);
        config.define(Pci.REVISION_ID, 1, revision);
        config.define(Pci.CLASS_PROG, 3, classCode);
        config.define(Pci.SUBSYSTEM_VENDOR_ID, 2, subsystemVendor);
        config.define(Pci.SUBSYSTEM_ID, 2, subsystem);
        config.allow(
                Pci.COMMAND,
                2,
                Pci.COMMAND_MEMORY
                        | Pci.COMMAND_MASTER
                        | Pci.COMMAND_PARITY
                        | Pci.COMMAND_SERR
                        | Pci.COMMAND_INTX_DISABLE);
        config.allow(Pci.CACHE_LINE_SIZE, 1, 0xff);
        config.allow(Pci.INTERRUPT_LINE, 1, 0xff);
        for (int bar = 0; bar < Pci.BAR_COUNT; bar++) {
            if (barSize(bar) != 0) {
                config.defineBar(bar, barSize(bar));
            }
        }
        int link = Pci.CAPABILITY_LIST;
        int at = Pci.HEADER_END;
        if (vectors > 0) {
            config.define(link, 1, at);
            config.define(at + Pci.CAP_LIST_ID, 1, Pci.CAP_ID_MSIX);
            config.define(at + Pci.MSIX_FLAGS, 2, vectors - 1);
            config.allow(at + Pci.MSIX_FLAGS, 2, Pci.MSIX_FLAGS_ENABLE | Pci.MSIX_FLAGS_MASKALL);
            config.define(at + Pci.MSIX_TABLE, 4, msixBar);
            config.define(at + Pci.MSIX_PBA, 4, MsixTable.PENDING_OFFSET | msixBar);
            link = at + Pci.CAP_LIST_NEXT;
            at += Pci.MSIX_CAP_SIZE;
        }
        for (Capability each : capabilities) {
            config.define(link, 1, at);
            config.define(at + Pci.CAP_LIST_ID, 1, each.id);
            link = at + Pci.CAP_LIST_NEXT;
            for (int i = 0; i < each.content.length; i++) {
                config.define(link + 1 + i, 1, each.content[i]);
                config.allow(link + 1 + i, 1, each.writable[i]);
            }
            at += aligned(each.size());
        }
        if (at > Pci.HEADER_END) {
            config.define(Pci.STATUS, 2, Pci.STATUS_CAP_LIST);
        }
    }

    /** A layout piece by piece. One thread. */
    public static final class Builder {
        private final int vendor;
        private final int device;
        private int revision = 1;
        private int classCode = Pci.CLASS_OTHER;
        private int subsystemVendor;
        private int subsystem;
        private final List<Bar> bars = new ArrayList<>();
        private int vectors;
        private int msixBar = -1;
        private final List<Capability> capabilities = new ArrayList<>();

        private Builder(int vendor, int device) {
            this.vendor = vendor;
            this.device = device;
        }

        /** 0 to 0xff. */
        public Builder revision(int number) {
            revision = number;
            return this;
        }

        /** Base class, sub-class and programming interface, 24 bits. */
        public Builder classCode(int code) {
            classCode = code;
            return this;
        }

        /** 0 to 0xffff each. */
        public Builder subsystem(int vendorId, int id) {
            subsystemVendor = vendorId;
            subsystem = id;
            return this;
        }

        /**
         * A memory BAR more, 32-bit and not prefetchable.
         *
         * @param number 0 to 5
         * @param bytes a power of two, 16 bytes to 1 GiB
         */
        public Builder bar(int number, int bytes) {
            bars.add(new Bar(number, bytes));
            return this;
        }

        /**
         * MSI-X, with its table in a BAR that holds nothing else.
         *
         * @param bar 0 to 5, of no other use
         * @param count 1 to {@link FunctionLayout#VECTORS_MAX}
         */
        public Builder msix(int bar, int count) {
            msixBar = bar;
            vectors = count;
            return this;
        }

        /**
         * A function of PCI Express that is part of the root complex (PCI Express Base 4.0, 7.5.3),
         * with 4096 bytes of configuration space and no extended capability in them.
         */
        public Builder express() {
            ByteBuffer content =
                    ByteBuffer.allocate(Pci.EXPRESS_CAP_SIZE - Pci.EXPRESS_FLAGS)
                            .order(ByteOrder.LITTLE_ENDIAN);
            content.putShort((short) (Pci.EXPRESS_VERSION_2 | Pci.EXPRESS_TYPE_INTEGRATED));
            content.putInt(Pci.EXPRESS_ROLE_BASED_ERRORS);
            return capability(new Capability(Pci.CAP_ID_EXPRESS, content.array()));
        }

        /** A capability more. */
        public Builder capability(Capability capability) {
            capabilities.add(capability);
            return this;
        }

        /**
         * The layout.
         *
         * @throws IllegalArgumentException a number is out of its range, a BAR is there twice, or
         *     the capabilities do not fit in 192 bytes
         */
        public FunctionLayout build() {
            check("vendor", vendor, 0xfffe);
            check("device", device, 0xffff);
            check("revision", revision, 0xff);
            check("class code", classCode, 0xff_ffff);
            check("subsystem vendor", subsystemVendor, 0xffff);
            check("subsystem", subsystem, 0xffff);
            List<Bar> all = new ArrayList<>(bars);
            if (msixBar != -1) {
                all.add(new Bar(msixBar, MSIX_BAR_SIZE));
                if (vectors < 1 || vectors > VECTORS_MAX) {
                    throw new IllegalArgumentException(vectors + " vectors");
                }
            }
            if (all.stream().mapToInt(Bar::number).distinct().count() != all.size()) {
                throw new IllegalArgumentException("a BAR is there twice: " + all);
            }
            int end = Pci.HEADER_END + (vectors > 0 ? Pci.MSIX_CAP_SIZE : 0);
            for (Capability each : capabilities) {
                end += aligned(each.size());
            }
            if (end > Pci.CONFIG_SPACE_SIZE) {
                throw new IllegalArgumentException(
                        "the capabilities end at 0x%x, behind the configuration space"
                                .formatted(end));
            }
            return new FunctionLayout(
                    vendor,
                    device,
                    revision,
                    classCode,
                    subsystemVendor,
                    subsystem,
                    bars,
                    vectors,
                    msixBar,
                    capabilities);
        }

        private static void check(String what, int value, int max) {
            if (value < 0 || value > max) {
                throw new IllegalArgumentException(
                        "%s 0x%x is not 0 to 0x%x".formatted(what, value, max));
            }
        }
    }
}
