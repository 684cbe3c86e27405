// SPDX-License-Identifier: Apache-2.0
package org.ioasis.compare.tables;

import java.util.Arrays;
import java.util.List;
import java.util.Optional;

/**
 * An IOMMU of QEMU's in one of the ways in which Linux uses it. The registers are those that say
 * where tables and commands are. Immutable; any thread.
 */
enum Subject {
    /** Context entries of 128 bits that lead to second-stage tables. */
    VTD_LEGACY("vtd-legacy", Family.VTD, "intel-iommu"),
    /** PASID entries that lead to second-stage tables. */
    VTD_SECOND_STAGE("vtd-second-stage", Family.VTD, "intel-iommu,scalable-mode=on"),
    /** PASID entries that lead to first-stage tables. */
    VTD_FIRST_STAGE("vtd-first-stage", Family.VTD, "intel-iommu,scalable-mode=on,fsts=on"),
    AMD("amd", Family.AMD, "amd-iommu,dma-remap=on"),
    /** It belongs to the machine. */
    SMMUV3("smmuv3", Family.SMMUV3, "");

    /** What one driver of Linux's drives. */
    enum Family {
        VTD(0, 0xfed9_0000L),
        AMD(0, 0xfed8_0000L),
        SMMUV3(0x4000_0000L, 0x905_0000L);

        private final long memory;
        private final long registers;

        Family(long memory, long registers) {
            this.memory = memory;
            this.registers = registers;
        }

        /** Where the machine's memory begins. */
        long memory() {
            return memory;
        }

        List<Register> registers() {
            return Register.ALL.stream().filter(register -> register.family() == this).toList();
        }

        long address(Register register) {
            return registers + register.offset();
        }
    }

    /**
     * A register by its specification's name.
     *
     * @param offset in the IOMMU's registers
     * @param bytes of it
     */
    record Register(Family family, String name, int offset, int bytes) {
        // VT-d, 11.4: where the root table is, and the invalidation queue.
        static final Register RTADDR = new Register(Family.VTD, "RTADDR", 0x20, 8);
        static final Register IQH = new Register(Family.VTD, "IQH", 0x80, 8);
        static final Register IQT = new Register(Family.VTD, "IQT", 0x88, 8);
        static final Register IQA = new Register(Family.VTD, "IQA", 0x90, 8);
        // AMD, 3.4: device table and command buffer.
        static final Register DEVICE_TABLE = new Register(Family.AMD, "DEVTAB", 0, 8);
        static final Register COMMANDS = new Register(Family.AMD, "CMDBUF", 8, 8);
        static final Register COMMAND_HEAD = new Register(Family.AMD, "CMDHEAD", 0x2000, 8);
        static final Register COMMAND_TAIL = new Register(Family.AMD, "CMDTAIL", 0x2008, 8);
        // SMMUv3, 6.3: stream table and command queue.
        static final Register STRTAB_BASE = new Register(Family.SMMUV3, "STRTAB_BASE", 0x80, 8);
        static final Register STRTAB_CFG = new Register(Family.SMMUV3, "STRTAB_BASE_CFG", 0x88, 4);
        static final Register CMDQ_BASE = new Register(Family.SMMUV3, "CMDQ_BASE", 0x90, 8);
        static final Register CMDQ_PROD = new Register(Family.SMMUV3, "CMDQ_PROD", 0x98, 4);
        static final Register CMDQ_CONS = new Register(Family.SMMUV3, "CMDQ_CONS", 0x9c, 4);

        private static final List<Register> ALL =
                List.of(
                        RTADDR,
                        IQH,
                        IQT,
                        IQA,
                        DEVICE_TABLE,
                        COMMANDS,
                        COMMAND_HEAD,
                        COMMAND_TAIL,
                        STRTAB_BASE,
                        STRTAB_CFG,
                        CMDQ_BASE,
                        CMDQ_PROD,
                        CMDQ_CONS);
    }

    private final String label;
    private final Family family;
    private final String device;

    Subject(String label, Family family, String device) {
        this.label = label;
        this.family = family;
        this.device = device;
    }

    static Optional<Subject> labelled(String label) {
        return Arrays.stream(values()).filter(one -> one.label.equals(label)).findFirst();
    }

    /** What people and files call it. */
    String label() {
        return label;
    }

    Family family() {
        return family;
    }

    /** What QEMU is told besides. */
    List<String> words() {
        return device.isEmpty() ? List.of() : List.of("-device", device);
    }
}
