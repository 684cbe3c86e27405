// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vm;

import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * What the guest said about itself. Nothing in it is proof: the guest is not trusted, and who
 * judges a run compares disks and hashes. Any thread.
 *
 * @param kernel release, if the guest came that far
 * @param iommus drivers by PCI address; "none" where no driver was bound
 * @param devices facts by role: "seed", "fs", "result", "own1", "own2" … for the user's disks, and
 *     "net"
 * @param steps in the order in which they began
 * @param hashes of the file, SHA-256 in hexadecimal, one for each check
 * @param status exit status of the command or shell that it ran
 * @param failure step and reason
 * @param panic why the kernel panicked, if it did
 * @param oops the first time that its kernel said that it has met a fault of its own
 * @param isPoweredOff the kernel said that it powers off
 * @param isFinished the guest reached the end of its task
 * @param malformed lines that were not what init writes
 * @param lastLines the end of the console, for a message about a failure
 */
public record GuestReport(
        Optional<String> kernel,
        Map<String, String> iommus,
        Map<String, Device> devices,
        List<Step> steps,
        List<String> hashes,
        Optional<Integer> status,
        Optional<String> failure,
        Optional<String> panic,
        Optional<String> oops,
        boolean isPoweredOff,
        boolean isFinished,
        long malformed,
        List<String> lastLines) {

    /**
     * How Linux sees a device of ours; an empty text where it did not say.
     *
     * @param pci address, as in 0000:00:02.0
     * @param group number of the IOMMU group, or "none"
     * @param type of the group's domain: DMA, DMA-FQ, identity
     * @param reserved regions, "FIRST-LAST-KIND;" each
     */
    public record Device(String pci, String group, String type, String reserved) {}

    /** A step, and how long it took by the guest's clock; the last one has no end if it failed. */
    public record Step(String name, long beginMicros, long micros) {}

    public GuestReport {
        iommus = Map.copyOf(iommus);
        devices = Map.copyOf(devices);
        steps = List.copyOf(steps);
        hashes = List.copyOf(hashes);
        lastLines = List.copyOf(lastLines);
    }
}
