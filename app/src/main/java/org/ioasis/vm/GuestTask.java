// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vm;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Optional;

/**
 * What the guest is to do after it has booted, told to its init on the kernel's command line. The
 * names are those of the resource {@code init} in org.ioasis.guestkit. Any thread.
 */
public sealed interface GuestTask {
    /**
     * Serial numbers by which the guest tells its disks apart; virtio-blk has room for 20 bytes
     * (virtio 1.4, 5.2.6).
     */
    String SEED_SERIAL = "ioasis-seed";

    /** Serial number of the disk that gets a file system. */
    String FS_SERIAL = "ioasis-fs";

    /** Serial number of the disk that gets the copy of the seed disk. */
    String RESULT_SERIAL = "ioasis-result";

    /** The user's own disks have this and their number, from 1 on, as serial number. */
    String OWN_SERIAL = "ioasis-own";

    /** The guest's address where it has a network, which is of 24 bits. */
    String NET_ADDRESS = "10.7.0.2";

    /** Who is with it there. */
    String NET_PEER = "10.7.0.1";

    /** Most bytes of a packet there. */
    int NET_MTU = 65_535;

    /** Bytes of a block of TFTP (RFC 2348) there. */
    int NET_BLOCK = 65_464;

    /** What happens to the guest between a first check and a second one. */
    enum Scenario {
        /** Nothing: there is one check. */
        PLAIN(1),
        /** It reboots, and finds what it has written. */
        REBOOT(3),
        /** Drivers let go of the disks and of the IOMMU, and take them again. */
        REBIND(2),
        /** The disks' PCI functions are removed, and found again by a scan of the bus. */
        RESCAN(2),
        /** There is one check, whose result disk is plugged in after the rest of it is done. */
        HOTPLUG(1);

        private final int checks;

        Scenario(int checks) {
            this.checks = checks;
        }

        /** How often the guest hashes what it has written. */
        public int checks() {
            return checks;
        }
    }

    /** Print one line and power off. */
    record Hello() implements GuestTask {}

    /**
     * Copy the seed disk of {@code seedBytes} into a file on a new file system, read it back, hash
     * it, copy it to the result disk.
     */
    record Check(long seedBytes, Scenario scenario) implements GuestTask {}

    /**
     * Fetch {@code bytes} over the network and hash them, and send the seed disk, which has as
     * many, both at once.
     */
    record Net(long bytes) implements GuestTask {}

    /** Copy the seed disk to the result disk again and again, without end. */
    record Churn() implements GuestTask {}

    /** Run a command of the user's with its output on the second serial port. */
    record Run(String command) implements GuestTask {}

    /** The same with one disk only, that of the serial number {@link #SEED_SERIAL}. */
    record Measure(String command) implements GuestTask {}

    /** Run a shell on the console. */
    record Shell() implements GuestTask {}

    /** Whatever the user's own initramfs does. */
    record Boot() implements GuestTask {}

    /** Drivers that it needs; which of them are modules is the kernel's affair. */
    default List<String> drivers() {
        return List.of("virtio_iommu", "virtio_blk", this instanceof Net ? "virtio_net" : "ext4");
    }

    /** What is to be run in the guest's shell, for the initramfs. */
    default Optional<String> commandFile() {
        return switch (this) {
            case Run(String command) -> Optional.of(command);
            case Measure(String command) -> Optional.of(command);
            case Hello _, Check _, Churn _, Net _, Shell _, Boot _ -> Optional.empty();
        };
    }

    /**
     * The kernel's command line for this task.
     *
     * @param modules to be loaded, in this order
     * @param ownDisks how many disks of the user's there are
     * @param more further parameters of the kernel, such as {@code iommu.strict=1}
     */
    default String commandLine(List<String> modules, int ownDisks, List<String> more) {
        List<String> words = new ArrayList<>();
        words.add("console=ttyS0");
        if (!(this instanceof Boot)) {
            // Of the kernel's messages only errors are of interest, and every other takes time.
            words.add("quiet");
        }
        // With -no-reboot of QEMU, a guest that panics ends the run; where it may reboot, it would
        // panic without end, and the time limit must end it.
        words.add(reboots() ? "panic=0" : "panic=-1");
        // What init says must not be dropped by a rate limit.
        words.add("printk.devkmsg=on");
        words.add("printk.time=1");
        switch (this) {
            case Boot() -> {}
            case Hello() -> words.add("ioasis.run=hello");
            case Check(long seedBytes, Scenario scenario) -> {
                addDisks(words, "check", modules, ownDisks);
                words.add("ioasis.bytes=" + seedBytes);
                words.add("ioasis.scenario=" + scenario.name().toLowerCase(Locale.ROOT));
            }
            case Net(long _) -> {
                addDisks(words, "net", modules, ownDisks);
                words.add(
                        "ioasis.net=%s,%s,%d,%d"
                                .formatted(NET_ADDRESS, NET_PEER, NET_MTU, NET_BLOCK));
            }
            case Churn() -> addDisks(words, "churn", modules, ownDisks);
            case Run(String _) -> addDisks(words, "command", modules, ownDisks);
            case Measure(String _) -> {
                words.add("ioasis.run=command");
                words.add("ioasis.modules=" + String.join(",", modules));
                words.add("ioasis.seed=" + SEED_SERIAL);
            }
            case Shell() -> addDisks(words, "shell", modules, ownDisks);
        }
        words.addAll(more);
        return String.join(" ", words);
    }

    private static void addDisks(
            List<String> words, String run, List<String> modules, int ownDisks) {
        words.add("ioasis.run=" + run);
        words.add("ioasis.modules=" + String.join(",", modules));
        words.add("ioasis.seed=" + SEED_SERIAL);
        words.add("ioasis.fs=" + FS_SERIAL);
        words.add("ioasis.result=" + RESULT_SERIAL);
        words.add("ioasis.own=" + ownDisks);
    }

    /** True if the guest reboots as part of the task. */
    default boolean reboots() {
        return this instanceof Check(long _, Scenario scenario) && scenario == Scenario.REBOOT;
    }

    /** True if the result disk is plugged in while the guest runs. */
    default boolean hotplugs() {
        return this instanceof Check(long _, Scenario scenario) && scenario == Scenario.HOTPLUG;
    }
}
