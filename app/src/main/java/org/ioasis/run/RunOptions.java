// SPDX-License-Identifier: Apache-2.0
package org.ioasis.run;

import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;
import org.ioasis.guestkit.KernelChoice;
import org.ioasis.guestkit.SharedFolder;
import org.ioasis.live.TraceConfig;
import org.ioasis.record.RecordConfig;
import org.ioasis.virtqueue.RingFormat;
import org.ioasis.vm.Accel;
import org.ioasis.vm.SeededDisk;

/**
 * What can be chosen for a run. Immutable.
 *
 * @param accel how the guest's instructions are run; empty to find out
 * @param memoryMiB the guest's memory
 * @param processors the guest's processors
 * @param limit how long the guest may take
 * @param seed of the seeded disk's content
 * @param seedBytes size of the seeded disk; a multiple of 1 MiB
 * @param board what the guest's processor is part of
 * @param kernel what to boot
 * @param translation what the guest's kernel is told to do with the IOMMU
 * @param isBypassing while no driver of the IOMMU has said otherwise, accesses go through
 *     untranslated; else they are refused
 * @param iommus how many there are, 1 or 2; the disk with the file system is behind the last one
 * @param ring PACKED: the devices offer packed rings; SPLIT: they do not
 * @param append further parameters of the kernel
 * @param initramfs to boot in the place of ours
 * @param disks the user's own
 * @param share a folder of the host's that the guest finds at {@code /share}
 * @param qemu further words for QEMU, behind all others
 * @param isDebugged the guest waits for a debugger before its first instruction
 * @param trace where to write what passes between the guest's driver and the IOMMUs
 * @param record where to record that and what endpoints do
 * @param page port of a page that shows the run, 0 for a free one; empty for no page
 */
public record RunOptions(
        Optional<Accel> accel,
        int memoryMiB,
        int processors,
        Duration limit,
        long seed,
        long seedBytes,
        Board board,
        KernelChoice kernel,
        Translation translation,
        boolean isBypassing,
        int iommus,
        RingFormat ring,
        List<String> append,
        Optional<Path> initramfs,
        List<Path> disks,
        Optional<SharedFolder> share,
        List<String> qemu,
        boolean isDebugged,
        Optional<TraceConfig> trace,
        Optional<RecordConfig> record,
        OptionalInt page) {
    /** As many IOMMUs as there are slots for them. */
    public static final int IOMMU_LIMIT = GuestCommand.IOMMU_SLOTS.size();

    /** What a guest's processor is part of. */
    public sealed interface Board {
        /** A PC: QEMU's {@code q35}. */
        record Pc() implements Board {}

        /**
         * QEMU's {@code virt} of 64-bit ARM.
         *
         * @param tables by what its kernel is told of its devices
         * @param controller where its devices' interrupts go
         * @param isDoorbellMapped the guest is not told that these need no address: it maps them
         * @param isMmio its IOMMUs are no PCI functions but on virtio-mmio, over vhost-user
         */
        record Virt(Tables tables, Controller controller, boolean isDoorbellMapped, boolean isMmio)
                implements Board {}
    }

    /** By what a kernel is told of its devices. */
    public enum Tables {
        /** A flattened device tree, from QEMU. */
        DEVICE_TREE,
        /** Tables of ACPI, from a firmware and a loader. */
        ACPI
    }

    /** What takes devices' interrupts on ARM. */
    public enum Controller {
        /** A frame beside a GICv2. */
        GICV2M,
        /** The translation service of a GICv3. */
        ITS
    }

    /** What the guest's kernel is told to do with the IOMMU. */
    public enum Translation {
        /** Whatever it was built for. */
        UNCHANGED,
        /** Unmapped addresses are given back later, many at once. */
        LAZY,
        /** Each address is unmapped before it is used again. */
        STRICT,
        /** Endpoints are attached to domains that translate nothing. */
        PASSTHROUGH;

        /** Of the kernel's command line (Linux, Documentation/admin-guide/kernel-parameters). */
        List<String> parameters() {
            return switch (this) {
                case UNCHANGED -> List.of();
                case LAZY -> List.of("iommu.passthrough=0", "iommu.strict=0");
                case STRICT -> List.of("iommu.passthrough=0", "iommu.strict=1");
                case PASSTHROUGH -> List.of("iommu.passthrough=1");
            };
        }
    }

    public RunOptions {
        append = List.copyOf(append);
        disks = List.copyOf(disks);
        qemu = List.copyOf(qemu);
    }

    /** What is added to the kernel's command line. */
    List<String> parameters() {
        List<String> parameters = new ArrayList<>(translation.parameters());
        if (isDebugged) {
            // The symbols of the debugger are where the kernel was linked.
            parameters.add("nokaslr");
        }
        parameters.addAll(append);
        return parameters;
    }

    /** What {@code ioasis vm} does when nothing is chosen. */
    public static Builder builder(long seed) {
        return new Builder(seed);
    }

    /** Options one by one. One thread. */
    public static final class Builder {
        private final long seed;
        private Optional<Accel> accel = Optional.empty();
        private int memoryMiB = 512;
        private int processors = 1;
        private Duration limit = Duration.ofMinutes(10);
        private long seedBytes = SeededDisk.DEFAULT_BYTES;
        private Board board = new Board.Pc();
        private KernelChoice kernel = KernelChoice.Debian.STABLE;
        private Translation translation = Translation.UNCHANGED;
        private boolean isBypassing = true;
        private int iommus = 1;
        private RingFormat ring = RingFormat.SPLIT;
        private List<String> append = List.of();
        private Optional<Path> initramfs = Optional.empty();
        private List<Path> disks = List.of();
        private Optional<SharedFolder> share = Optional.empty();
        private List<String> qemu = List.of();
        private boolean isDebugged;
        private Optional<TraceConfig> trace = Optional.empty();
        private Optional<RecordConfig> record = Optional.empty();
        private OptionalInt page = OptionalInt.empty();

        private Builder(long seed) {
            this.seed = seed;
        }

        public Builder accel(Accel value) {
            accel = Optional.of(value);
            return this;
        }

        public Builder memoryMiB(int value) {
            memoryMiB = value;
            return this;
        }

        public Builder processors(int value) {
            processors = value;
            return this;
        }

        public Builder limit(Duration value) {
            limit = value;
            return this;
        }

        public Builder seedBytes(long value) {
            seedBytes = value;
            return this;
        }

        public Builder board(Board value) {
            board = value;
            return this;
        }

        public Builder kernel(KernelChoice value) {
            kernel = value;
            return this;
        }

        public Builder translation(Translation value) {
            translation = value;
            return this;
        }

        public Builder bypassing(boolean value) {
            isBypassing = value;
            return this;
        }

        public Builder iommus(int value) {
            iommus = value;
            return this;
        }

        public Builder ring(RingFormat value) {
            ring = value;
            return this;
        }

        public Builder append(List<String> value) {
            append = value;
            return this;
        }

        public Builder initramfs(Path value) {
            initramfs = Optional.of(value);
            return this;
        }

        public Builder disks(List<Path> value) {
            disks = value;
            return this;
        }

        public Builder share(SharedFolder value) {
            share = Optional.of(value);
            return this;
        }

        public Builder qemu(List<String> words) {
            qemu = words;
            return this;
        }

        public Builder debugged(boolean value) {
            isDebugged = value;
            return this;
        }

        public Builder trace(TraceConfig value) {
            trace = Optional.of(value);
            return this;
        }

        public Builder record(RecordConfig value) {
            record = Optional.of(value);
            return this;
        }

        public Builder page(OptionalInt port) {
            page = port;
            return this;
        }

        public RunOptions build() {
            return new RunOptions(
                    accel,
                    memoryMiB,
                    processors,
                    limit,
                    seed,
                    seedBytes,
                    board,
                    kernel,
                    translation,
                    isBypassing,
                    iommus,
                    ring,
                    append,
                    initramfs,
                    disks,
                    share,
                    qemu,
                    isDebugged,
                    trace,
                    record,
                    page);
        }
    }
}
