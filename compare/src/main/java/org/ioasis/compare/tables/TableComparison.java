// SPDX-License-Identifier: Apache-2.0
package org.ioasis.compare.tables;

import java.io.IOException;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.ioasis.amd.DeviceTable;
import org.ioasis.iommu.pagetable.AddressSpace;
import org.ioasis.iommu.pagetable.ContextAnswer;
import org.ioasis.iommu.pagetable.Rights;
import org.ioasis.iommu.pagetable.TwoStageWalk;
import org.ioasis.iommu.pagetable.smmuv3.StreamTable;
import org.ioasis.vtd.RootTable;
import org.jspecify.annotations.Nullable;

/**
 * What our walkers find in tables that Linux has made, beside what QEMU's walker found there. One
 * thread.
 */
final class TableComparison {
    /** Physical addresses of the guests have no more. */
    private static final int OUTPUT_BITS = 48;

    private static final int TOLD_RIGHTS = Rights.READ | Rights.WRITE;

    /**
     * What was found.
     *
     * @param devices how many have translations
     * @param translations of QEMU's that hold at the stop, all compared
     * @param sizes how many of them were compared in their size of page too
     * @param rights how many of them were compared in what they allow too
     * @param differences a line each
     */
    record Result(int devices, int translations, int sizes, int rights, List<String> differences) {
        Result {
            differences = List.copyOf(differences);
        }
    }

    private final Recording recording;
    private final TwoStageWalk walk = new TwoStageWalk();
    private final Map<Integer, @Nullable AddressSpace> spaces = new HashMap<>();
    private final List<String> differences = new ArrayList<>();
    private int sizes;
    private int rights;

    private TableComparison(Recording recording) {
        this.recording = recording;
    }

    /** Compares every translation that holds at the recording's end. */
    static Result of(Recording recording) throws IOException {
        return new TableComparison(recording).compare();
    }

    private Result compare() throws IOException {
        for (TraceEvent event : recording.events()) {
            if (event instanceof TraceEvent.Trouble(String line)) {
                differences.add("QEMU says: " + line);
            }
        }
        List<LiveTranslations.Live> live = LiveTranslations.after(recording.events());
        for (LiveTranslations.Live one : live) {
            compare(one);
        }
        return new Result(spaces.size(), live.size(), sizes, rights, differences);
    }

    private void compare(LiveTranslations.Live one) throws IOException {
        AddressSpace space = space(one.device());
        if (space == null) {
            return;
        }
        if (!space.translate(recording.pages(), one.iova(), 0, false, walk)) {
            differ(
                    one,
                    "ours %s of level %d".formatted(walk.failed().fault(), walk.failed().level()));
            return;
        }
        long ours =
                recording.subject().family() == Subject.Family.AMD
                        ? walk.output() & -(1L << walk.pageLg2())
                        : walk.output();
        if (ours != one.output()) {
            differ(one, "ours 0x%x of 2^%d".formatted(ours, walk.pageLg2()));
        }
        if (one.pageLg2() != 0) {
            sizes++;
            if (walk.pageLg2() != one.pageLg2()) {
                differ(one, "our page of 2^%d".formatted(walk.pageLg2()));
            }
        }
        if (one.rights() != 0) {
            rights++;
            if ((walk.rights() & TOLD_RIGHTS) != one.rights()) {
                differ(one, "our rights %d".formatted(walk.rights()));
            }
        }
    }

    /** What the context structures say of a device; null if that is a difference already. */
    private @Nullable AddressSpace space(int device) throws IOException {
        AddressSpace known = spaces.get(device);
        if (known == null && !spaces.containsKey(device)) {
            ContextAnswer<?> answer = context(device);
            known = answer.found();
            spaces.put(device, known);
            if (known == null) {
                differences.add(
                        "device 0x%x: ours %s by the entry at 0x%x"
                                .formatted(device, answer.refusal(), answer.at()));
            }
        }
        return known;
    }

    private ContextAnswer<?> context(int device) throws IOException {
        return switch (recording.subject().family()) {
            case VTD ->
                    RootTable.of(
                                    recording.pages(),
                                    recording.register(Subject.Register.RTADDR),
                                    OUTPUT_BITS)
                            .find(device, RootTable.NO_PASID, false);
            case AMD ->
                    DeviceTable.of(
                                    recording.pages(),
                                    recording.register(Subject.Register.DEVICE_TABLE),
                                    OUTPUT_BITS)
                            .find(device, DeviceTable.NO_PASID);
            case SMMUV3 ->
                    StreamTable.of(
                                    recording.pages(),
                                    recording.register(Subject.Register.STRTAB_BASE),
                                    recording.register(Subject.Register.STRTAB_CFG),
                                    OUTPUT_BITS)
                            .find(device, StreamTable.NO_SSID);
        };
    }

    private void differ(LiveTranslations.Live one, String ours) {
        differences.add(
                "device 0x%x, 0x%x: %s, QEMU's 0x%x of 2^%d, rights %d"
                        .formatted(
                                one.device(),
                                one.iova(),
                                ours,
                                one.output(),
                                one.pageLg2(),
                                one.rights()));
    }
}
