// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.iommu;

import static java.util.Objects.requireNonNull;
import static org.assertj.core.api.Assertions.assertThat;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import org.ioasis.iommu.StateText;
import org.ioasis.memory.Access;
import org.ioasis.virtio.KeptState;
import org.ioasis.virtio.iommu.DeviceModel.Setup;
import org.ioasis.virtio.iommu.Step.Buffers;
import org.ioasis.virtio.iommu.Step.Touch;
import org.ioasis.virtqueue.PackedFuzz;

/**
 * What a fuzzer calls: any bytes become a device and the steps of a driver, and {@link DeviceModel}
 * says whether the device did right. Any thread. Public for Jazzer ({@code tools/fuzz.sh}), of
 * which nothing else is known here.
 */
public final class FuzzTargets {
    /** More steps than this make a run slow and find nothing more. */
    private static final int STEPS = 300;

    /** A target. */
    enum Target {
        REQUEST_QUEUE,
        EVENT_QUEUE,
        CONFIG_WRITES,
        SAVE_FILE,
        KEPT_STATE,
        PACKED_RING,
        TABLE_QUEUE,
        ARM_TABLE_QUEUE;

        /** Its name for people, and that of the list of its inputs. */
        String id() {
            return name().toLowerCase(Locale.ROOT).replace('_', '-');
        }

        static Target of(String id) {
            for (Target target : values()) {
                if (target.id().equals(id)) {
                    return target;
                }
            }
            throw new IllegalArgumentException("no fuzz target " + id);
        }
    }

    private FuzzTargets() {}

    /** One run of the target that the system property {@code ioasis.fuzz.target} names. */
    public static void fuzzerTestOneInput(byte[] bytes) {
        run(Target.of(System.getProperty("ioasis.fuzz.target", "")), bytes);
    }

    static void run(Target target, byte[] bytes) {
        switch (target) {
            case REQUEST_QUEUE -> requestQueue(bytes);
            case EVENT_QUEUE -> eventQueue(bytes);
            case CONFIG_WRITES -> configWrites(bytes);
            case SAVE_FILE -> saveFile(bytes);
            case KEPT_STATE -> keptState(bytes);
            case PACKED_RING -> PackedFuzz.run(bytes);
            case TABLE_QUEUE -> TableFuzz.run(Profile.TABLES_2023, bytes);
            case ARM_TABLE_QUEUE -> TableFuzz.run(Profile.TABLES_2021, bytes);
        }
    }

    /** Requests in every layout, hostile rings, memory that goes, resets. */
    static void requestQueue(byte[] bytes) {
        Setup setup = setup(bytes);
        check(setup, Steps.list(rest(bytes), setup, STEPS));
    }

    /** Accesses that fault, buffers of all sizes with and without a kick, few requests. */
    static void eventQueue(byte[] bytes) {
        Setup setup = setup(bytes);
        Choices c = rest(bytes);
        List<Step> steps = new ArrayList<>();
        while (!c.isExhausted() && steps.size() < STEPS) {
            steps.add(
                    switch (c.next(8)) {
                        case 0 -> Steps.ask(c, setup);
                        case 1, 2 -> new Buffers(1 + c.next(3), c.next(64), c.next(2) == 0);
                        case 3 ->
                                // A list of an input that has ended is empty.
                                c.isExhausted()
                                        ? Steps.ask(c, setup)
                                        : Steps.list(c, setup, 1).getFirst();
                        default ->
                                new Touch(
                                        1 + c.next(7),
                                        c.nextLong(),
                                        c.next(2) == 0 ? Access.READ : Access.WRITE);
                    });
            if (c.isExhausted()) {
                break;
            }
        }
        check(setup, steps);
    }

    /** Writes of every size anywhere, between resets and accesses. */
    static void configWrites(byte[] bytes) {
        Setup setup = setup(bytes);
        Choices c = rest(bytes);
        List<Step> steps = new ArrayList<>();
        while (!c.isExhausted() && steps.size() < STEPS) {
            steps.add(
                    switch (c.next(8)) {
                        case 0 -> Steps.restart(c, setup);
                        case 1 -> Steps.ask(c, setup);
                        case 2 ->
                                new Touch(1 + c.next(7), Driver.DMA + c.next(0x1000), Access.READ);
                        default -> Steps.config(c);
                    });
        }
        check(setup, steps);
    }

    /**
     * A saved state from nobody knows where: the bytes behind the first one are its fields, or with
     * the first one above 127 those behind the description of the device. Head and checksum are
     * good, so that the rest is read. It is refused and nothing has changed, or it is a state that
     * is saved as the same bytes and that the device can go on from.
     */
    static void saveFile(byte[] bytes) {
        try (Arena ram = Arena.ofConfined()) {
            Driver driver = StepRunner.driver(setup(bytes), ram);
            byte[] fresh = SavedDevice.save(driver.device, driver.type);
            boolean isDescribed = bytes.length > 0 && bytes[0] < 0;
            int head = isDescribed ? descriptionEnd(fresh) : SaveWriter.HEAD;
            int fields = Math.max(0, bytes.length - 1);
            byte[] file = Arrays.copyOf(fresh, head + fields + SaveWriter.CHECKSUM);
            System.arraycopy(bytes, bytes.length - fields, file, head, fields);
            SaveWriter.seal(file);
            try {
                SavedDevice.restore(file, driver.device, driver.type);
            } catch (RestoreException e) {
                assertThat(SavedDevice.save(driver.device, driver.type)).isEqualTo(fresh);
                return;
            }
            assertThat(SavedDevice.save(driver.device, driver.type)).isEqualTo(file);
            driver.device.memoryChanged();
            driver.turn();
            driver.device.writeStatus(0);
            assertThat(driver.iommu.domainCount()).isZero();
            assertThat(driver.iommu.mappingCount()).isZero();
            assertThat(driver.faults.isEmpty()).isTrue();
        }
    }

    /**
     * Memory of a device's state from nobody knows where: the bytes behind the first one are its
     * records, or with the first one above 127 its head too. It is refused and nothing has changed,
     * or it is a state that is the same when it is written anew and read.
     */
    static void keptState(byte[] bytes) {
        try (Arena ram = Arena.ofConfined()) {
            Driver driver = StepRunner.driver(setup(bytes), ram);
            MemorySegment region =
                    ram.allocate(StateRecords.bytes(StateRecords.CAPACITY_MIN), Long.BYTES);
            boolean hasHead = bytes.length > 0 && bytes[0] < 0;
            long at = hasHead ? 0 : StateRecords.HEAD_SIZE;
            int length = (int) Math.min(Math.max(0, bytes.length - 1), region.byteSize() - at);
            StateRecords.set(region, StateRecords.MAGIC_AT, StateRecords.MAGIC);
            StateRecords.set(region, StateRecords.CAPACITY_AT, StateRecords.CAPACITY_MIN);
            StateRecords.set(region, StateRecords.countAt(0), length / StateRecords.RECORD_SIZE);
            MemorySegment.copy(
                    MemorySegment.ofArray(bytes), Math.min(1, bytes.length), region, at, length);
            KeptState kept = requireNonNull(driver.type.keptState());
            if (kept.goOn(region, new long[0]) != null) {
                assertThat(driver.iommu.domainCount()).isZero();
                assertThat(driver.iommu.mappingCount()).isZero();
                assertThat(driver.iommu.isBypassing()).isFalse();
                return;
            }
            String state = StateText.of(driver.iommu);
            kept.moveTo(region);
            Driver next = StepRunner.driver(setup(bytes), ram);
            boolean fits = driver.type.lostStates() == 0;
            String problem = requireNonNull(next.type.keptState()).goOn(region, new long[0]);
            assertThat(problem == null).as("%s", problem).isEqualTo(fits);
            if (fits) {
                assertThat(StateText.of(next.iommu)).isEqualTo(state);
            }
            driver.device.writeStatus(0);
            assertThat(driver.iommu.domainCount()).isZero();
        }
    }

    /** Where the pairs of texts end that say how the device was made. */
    static int descriptionEnd(byte[] file) {
        int texts = 2 * (file[SaveWriter.HEAD] & 0xff);
        int at = SaveWriter.HEAD + 4;
        for (int i = 0; i < texts; i++) {
            at += 1 + (file[at] & 0xff);
        }
        return at;
    }

    private static Setup setup(byte[] bytes) {
        return Steps.setup(bytes.length == 0 ? 0 : (bytes[0] & 0xff) % Steps.SETUPS);
    }

    private static Choices rest(byte[] bytes) {
        return Choices.of(Arrays.copyOfRange(bytes, Math.min(1, bytes.length), bytes.length));
    }

    private static void check(Setup setup, List<Step> steps) {
        StepRunner.runAndShrink("input", setup, steps);
    }
}
