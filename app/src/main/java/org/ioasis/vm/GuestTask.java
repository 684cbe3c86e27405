package org.ioasis.vm;

import java.util.ArrayList;
import java.util.List;
import org.ioasis.guestkit.Initramfs;

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

    /** Drivers for {@link Check}; which of them are modules is the kernel's affair. */
    List<String> CHECK_DRIVERS = List.of("virtio_iommu", "virtio_blk", "ext4");

    /** Print one line and power off. */
    record Hello() implements GuestTask {}

    /**
     * Copy the seed disk of {@code seedBytes} into a file on a new file system, read it back, hash
     * it, copy it to the result disk.
     */
    record Check(long seedBytes) implements GuestTask {}

    /**
     * The kernel's command line for this task.
     *
     * @param more further parameters of the kernel, such as {@code iommu.strict=1}
     */
    default String commandLine(Initramfs initramfs, List<String> more) {
        List<String> words = new ArrayList<>();
        words.add("console=ttyS0");
        // Of the kernel's own messages only errors are of interest, and every other one takes time.
        words.add("quiet");
        // With -no-reboot of QEMU, a guest that panics ends the run.
        words.add("panic=-1");
        // What init says must not be dropped by a rate limit.
        words.add("printk.devkmsg=on");
        words.add("printk.time=1");
        switch (this) {
            case Hello() -> words.add("ioasis.run=hello");
            case Check(long seedBytes) -> {
                words.add("ioasis.run=check");
                words.add("ioasis.modules=" + String.join(",", initramfs.modules()));
                words.add("ioasis.seed=" + SEED_SERIAL);
                words.add("ioasis.fs=" + FS_SERIAL);
                words.add("ioasis.result=" + RESULT_SERIAL);
                words.add("ioasis.bytes=" + seedBytes);
            }
        }
        words.addAll(more);
        return String.join(" ", words);
    }
}
