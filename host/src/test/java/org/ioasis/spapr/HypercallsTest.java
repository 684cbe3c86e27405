// SPDX-License-Identifier: Apache-2.0
package org.ioasis.spapr;

import static org.assertj.core.api.Assertions.assertThat;
import static org.ioasis.host.Refusals.refuses;
import static org.ioasis.spapr.PowerGuest.APART;
import static org.ioasis.spapr.PowerGuest.ENTRIES;
import static org.ioasis.spapr.PowerGuest.LIOBN;
import static org.ioasis.spapr.PowerGuest.PAGE;
import static org.ioasis.spapr.PowerGuest.SLOT;
import static org.ioasis.spapr.StubProcess.AT;

import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Random;
import java.util.stream.LongStream;
import org.ioasis.iommufd.Errno;
import org.ioasis.iommufd.IommufdException;
import org.ioasis.spec.SpaprTce;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Hypercalls of a guest, through the kernel and through user space alone. */
class HypercallsTest {
    private static final long READ_WRITE = SpaprTce.READ | SpaprTce.WRITE;

    /** A list of entries lies here in the guest. */
    private static final long LIST = 0x10_0000;

    /** Guest memory of a slot that is not registered. */
    private static final long UNREGISTERED = SLOT - (1 << 20);

    private PowerGuest guest = made(true);

    private static PowerGuest made(boolean isAccelerated) {
        try {
            return new PowerGuest(isAccelerated);
        } catch (IommufdException e) {
            throw new AssertionError(e);
        }
    }

    private void use(boolean isAccelerated) {
        guest.close();
        guest = made(isAccelerated);
    }

    @AfterEach
    void nothingIsLeft() {
        guest.close();
    }

    private long answered(int tier, HcallCounters.Call call) {
        return guest.calls.counters().answered(tier, call);
    }

    private long passedOn(HcallCounters.Call call) {
        return guest.calls.counters().passedOn(0, call);
    }

    @Test
    @Tag("S09")
    void onePutWritesAnEntryOfTheGuestAndAllOfEachHardwareTable() {
        assertThat(guest.put(3, 5 * PAGE | READ_WRITE)).isEqualTo(HcallResult.SUCCESS);
        assertThat(guest.smallTable().mapped()).as("one of 64 KiB is 16 of 4 KiB").isEqualTo(16);
        assertThat(guest.equalTable().mapped()).isEqualTo(1);
        for (long at = 0; at < PAGE; at += 0x1001) {
            assertThat(guest.offset(guest.small, 3 * PAGE + at, true)).isEqualTo(5 * PAGE + at);
            assertThat(guest.offset(guest.equal, 3 * PAGE + at, true)).isEqualTo(5 * PAGE + at);
        }
        assertThat(guest.offset(guest.small, 4 * PAGE, false)).isEqualTo(-1);
        assertThat(guest.offset(guest.small, 3 * PAGE - 1, false)).isEqualTo(-1);
        assertThat(guest.get(3)).isEqualTo(5 * PAGE | READ_WRITE);
        assertThat(answered(0, HcallCounters.Call.PUT)).isEqualTo(1);
        assertThat(answered(1, HcallCounters.Call.PUT)).isZero();
    }

    @Test
    void permissionsAreTheEntrysAndWithoutThemItIsCleared() {
        guest.put(0, SpaprTce.READ);
        assertThat(guest.offset(guest.small, 0, false)).isZero();
        assertThat(guest.offset(guest.small, 0, true)).isEqualTo(-1);
        guest.put(0, PAGE | SpaprTce.WRITE);
        assertThat(guest.offset(guest.equal, 0, false)).isEqualTo(-1);
        assertThat(guest.offset(guest.equal, 0, true)).isEqualTo(PAGE);
        assertThat(guest.tables.memory().entriesInto(AT)).isEqualTo(17);
        // The rest of such an entry can be anything, and is kept.
        assertThat(guest.put(0, 0xdead_beef_dead_beecL)).isEqualTo(HcallResult.SUCCESS);
        assertThat(guest.offset(guest.equal, 0, true)).isEqualTo(-1);
        assertThat(guest.get(0)).isEqualTo(0xdead_beef_dead_beecL);
        assertThat(guest.tables.memory().entriesInto(AT)).isZero();
    }

    @Test
    @Tag("S11")
    void whatTheKernelDoesNotKnowGoesToUserSpaceAndNeverToTheGuest() {
        TceValue value = new TceValue();
        long[][] hard = {
            {LIOBN + 1, 0, READ_WRITE},
            {LIOBN, 0, 0x1000 | READ_WRITE},
            {LIOBN, 0, SLOT | READ_WRITE},
            {LIOBN, 0, UNREGISTERED | READ_WRITE},
            {LIOBN, 0, 0xffff_ffff_ffff_0003L},
            {-1L, 0, 0},
        };
        List<Long> before = guest.state();
        for (long[] call : hard) {
            assertThat(guest.calls.put(call[0], call[1], call[2])).isEqualTo(HcallResult.PARAMETER);
            assertThat(guest.state()).isEqualTo(before);
        }
        assertThat(passedOn(HcallCounters.Call.PUT)).isEqualTo(hard.length);
        assertThat(answered(1, HcallCounters.Call.PUT)).isEqualTo(hard.length);
        assertThat(guest.calls.get(7, 0, value)).isEqualTo(HcallResult.PARAMETER);
        assertThat(guest.calls.stuff(7, 0, 0, 1)).isEqualTo(HcallResult.PARAMETER);
        assertThat(guest.calls.putIndirect(7, 0, LIST, 1)).isEqualTo(HcallResult.PARAMETER);
        assertThat(passedOn(HcallCounters.Call.GET)).isEqualTo(1);
        for (HcallResult result : HcallResult.values()) {
            assertThat(result.code()).isNotEqualTo(HcallTier.TOO_HARD);
        }
    }

    @ParameterizedTest
    @ValueSource(booleans = {true, false})
    void addressesOutsideOfTheWindowOrBetweenEntriesAreParameters(boolean isAccelerated) {
        use(isAccelerated);
        List<Long> before = guest.state();
        TceValue value = new TceValue();
        long[] wrong = {1, 4096, PAGE - 1, ENTRIES * PAGE, 1L << 59, -PAGE, -1L};
        for (long ioba : wrong) {
            assertThat(guest.calls.put(LIOBN, ioba, READ_WRITE)).isEqualTo(HcallResult.PARAMETER);
            assertThat(guest.calls.get(LIOBN, ioba, value)).isEqualTo(HcallResult.PARAMETER);
            assertThat(guest.calls.stuff(LIOBN, ioba, 0, 1)).isEqualTo(HcallResult.PARAMETER);
            assertThat(guest.calls.putIndirect(LIOBN, ioba, LIST, 1))
                    .isEqualTo(HcallResult.PARAMETER);
        }
        for (long count : new long[] {ENTRIES + 1, 512, 513, 1L << 52, 1L << 63, -1L}) {
            assertThat(guest.stuff(0, 0, count)).isEqualTo(HcallResult.PARAMETER);
            assertThat(guest.indirect(0, LIST, count)).isEqualTo(HcallResult.PARAMETER);
        }
        for (long list : new long[] {LIST + 8, LIST + 2048, LIST - 1}) {
            assertThat(guest.indirect(0, list, 1)).isEqualTo(HcallResult.PARAMETER);
        }
        for (long list : new long[] {SLOT, APART - 4096, -4096L, 1L << 63}) {
            assertThat(guest.indirect(0, list, 1)).isEqualTo(HcallResult.PARAMETER);
        }
        assertThat(guest.stuff(0, SpaprTce.READ, 1)).isEqualTo(HcallResult.PARAMETER);
        assertThat(guest.stuff(0, SpaprTce.WRITE, 1)).isEqualTo(HcallResult.PARAMETER);
        assertThat(guest.state()).isEqualTo(before);
        assertThat(guest.stuff(ENTRIES - 1, 0, 1)).isEqualTo(HcallResult.SUCCESS);
        assertThat(guest.stuff(ENTRIES, 0, 0))
                .as("nothing, at the end")
                .isEqualTo(HcallResult.SUCCESS);
        assertThat(guest.indirect(0, LIST, 0)).isEqualTo(HcallResult.SUCCESS);
        assertThat(guest.state()).isEqualTo(before);
    }

    @Test
    void aListOfAsManyEntriesAsAPageHasIsTheMost() throws IommufdException {
        TceTable large = guest.tables.create(guest.task, 9, 12, 0, 600);
        assertThat(guest.calls.putIndirect(9, 0, LIST, 512)).isEqualTo(HcallResult.SUCCESS);
        assertThat(guest.calls.putIndirect(9, 0, LIST, 513)).isEqualTo(HcallResult.PARAMETER);
        assertThat(answered(0, HcallCounters.Call.PUT_INDIRECT)).isEqualTo(2);
        guest.tables.remove(large);
        guest.tables.remove(large);
    }

    @ParameterizedTest
    @ValueSource(booleans = {true, false})
    void aListIsReadOnceAndWrittenEntryByEntryAndFlushedOnce(boolean isAccelerated) {
        use(isAccelerated);
        guest.list(LIST, PAGE | READ_WRITE, 2 * PAGE | SpaprTce.READ, 0, APART | READ_WRITE);
        long reads = guest.process.reads;
        long flushes = guest.equalTable().flushes();
        // Whatever a guest writes to its list while it is carried out is not looked at.
        assertThat(guest.indirect(10, LIST, 4)).isEqualTo(HcallResult.SUCCESS);
        assertThat(guest.process.reads - reads).isEqualTo(1);
        assertThat(guest.get(10)).isEqualTo(PAGE | READ_WRITE);
        assertThat(guest.offset(guest.small, 11 * PAGE + 5, false)).isEqualTo(2 * PAGE + 5);
        assertThat(guest.get(12)).isZero();
        assertThat(guest.offset(guest.equal, 13 * PAGE, true)).isEqualTo(SLOT);
        if (isAccelerated) {
            assertThat(guest.equalTable().flushes() - flushes).isEqualTo(1);
        }
    }

    @ParameterizedTest
    @ValueSource(booleans = {true, false})
    void aListWithAnEntryThatIsNoneChangesNothing(boolean isAccelerated) {
        use(isAccelerated);
        guest.put(0, READ_WRITE);
        List<Long> before = guest.state();
        for (long wrong : new long[] {SLOT | READ_WRITE, 0x1000 | READ_WRITE, -4096 | READ_WRITE}) {
            guest.list(LIST, PAGE | READ_WRITE, 2 * PAGE | READ_WRITE, wrong);
            assertThat(guest.indirect(0, LIST, 3)).isEqualTo(HcallResult.PARAMETER);
            assertThat(guest.state()).isEqualTo(before);
            assertThat(guest.indirect(0, LIST, 1)).isEqualTo(HcallResult.SUCCESS);
            assertThat(guest.put(0, READ_WRITE)).isEqualTo(HcallResult.SUCCESS);
        }
    }

    @ParameterizedTest
    @ValueSource(booleans = {true, false})
    void aListThatFailsOnTheWayLeavesWhatWasWrittenBefore(boolean isAccelerated) {
        use(isAccelerated);
        guest.put(2, 7 * PAGE | READ_WRITE);
        guest.list(LIST, PAGE | READ_WRITE, 2 * PAGE | READ_WRITE, UNREGISTERED | READ_WRITE, 0);
        assertThat(guest.indirect(0, LIST, 4)).isEqualTo(HcallResult.PARAMETER);
        Map<Long, Long> entries = new HashMap<>();
        entries.put(0L, PAGE | READ_WRITE);
        entries.put(1L, 2 * PAGE | READ_WRITE);
        assertThat(guest.state()).isEqualTo(PowerGuest.stateOf(entries, guest.node.heldPages()));
    }

    /** Q11: the kernel looks for memory behind it in its second pass, and may refuse it. */
    @ParameterizedTest
    @ValueSource(booleans = {true, false})
    @Tag("S11")
    void q11AnEntryWithoutPermissionsInAListNeedsNoMemory(boolean isAccelerated) {
        use(isAccelerated);
        guest.put(1, READ_WRITE);
        long poison = 0x7fff_dead_0000_0000L;
        guest.list(LIST, PAGE | READ_WRITE, poison, 2 * PAGE | READ_WRITE);
        assertThat(guest.indirect(0, LIST, 3)).isEqualTo(HcallResult.SUCCESS);
        assertThat(guest.get(1)).isEqualTo(poison);
        assertThat(guest.offset(guest.small, PAGE, false)).isEqualTo(-1);
        assertThat(guest.offset(guest.small, 2 * PAGE, false)).isEqualTo(2 * PAGE);
    }

    @Test
    void stuffingClearsARangeAndKeepsTheValue() {
        for (int i = 0; i < 8; i++) {
            guest.put(i, i * PAGE | READ_WRITE);
        }
        assertThat(guest.stuff(2, 0x1230, 4)).isEqualTo(HcallResult.SUCCESS);
        for (int i = 0; i < 8; i++) {
            boolean isStuffed = i >= 2 && i < 6;
            assertThat(guest.get(i)).isEqualTo(isStuffed ? 0x1230 : i * PAGE | READ_WRITE);
            assertThat(guest.offset(guest.small, i * PAGE, false))
                    .isEqualTo(isStuffed ? -1 : i * PAGE);
        }
        assertThat(guest.smallTable().mapped()).isEqualTo(4 * 16);
    }

    @Test
    void entriesThatWereNeverWrittenAreZeroAndTakeNoMemory() throws IommufdException {
        TceTable huge = guest.tables.create(guest.task, 5, 12, 1 << 20, EntryPages.MAX);
        long held = guest.node.tables().held();
        long last = huge.firstAddress() + ((EntryPages.MAX - 1) << 12);
        TceValue value = new TceValue();
        assertThat(guest.calls.get(5, last, value)).isEqualTo(HcallResult.SUCCESS);
        assertThat(value.value()).isZero();
        assertThat(guest.calls.put(5, last, 0)).isEqualTo(HcallResult.SUCCESS);
        assertThat(guest.calls.stuff(5, huge.firstAddress(), 0, EntryPages.MAX))
                .isEqualTo(HcallResult.SUCCESS);
        assertThat(huge.pages()).isZero();
        assertThat(guest.calls.put(5, last, 4)).isEqualTo(HcallResult.SUCCESS);
        assertThat(huge.pages()).isEqualTo(1);
        assertThat(guest.node.tables().held()).isEqualTo(held + 4096);
        assertThat(guest.calls.get(5, last, value)).isEqualTo(HcallResult.SUCCESS);
        assertThat(value.value()).isEqualTo(4);
        assertThat(guest.calls.put(5, last + 4096, 0)).isEqualTo(HcallResult.PARAMETER);
        assertThat(guest.calls.put(5, huge.firstAddress() - 4096, 0))
                .isEqualTo(HcallResult.PARAMETER);
    }

    @Test
    void withoutRoomForEntriesAGuestIsToldSoAndNothingChanges() throws IommufdException {
        guest.close();
        // What the windows need, and no page for the guest's own table.
        guest = new PowerGuest(true, 4L << 20);
        long rest = (4L << 20) - guest.node.tables().held();
        var taken = guest.node.tables().take(rest);
        assertThat(taken).isNotNull();
        List<Long> before = guest.state();
        assertThat(guest.put(0, READ_WRITE)).isEqualTo(HcallResult.HARDWARE);
        assertThat(guest.put(0, 4)).isEqualTo(HcallResult.HARDWARE);
        guest.list(LIST, READ_WRITE);
        assertThat(guest.indirect(0, LIST, 1)).isEqualTo(HcallResult.HARDWARE);
        assertThat(guest.stuff(0, 4, ENTRIES)).isEqualTo(HcallResult.HARDWARE);
        assertThat(guest.put(0, 0)).as("nothing needs no room").isEqualTo(HcallResult.SUCCESS);
        assertThat(guest.state()).isEqualTo(before);
        guest.node.tables().giveBack(rest);
        assertThat(guest.put(0, READ_WRITE)).isEqualTo(HcallResult.SUCCESS);
    }

    @Test
    void hypercallsComeByNumberWithTheirArgumentsInRegisters() {
        TceValue value = new TceValue();
        guest.list(LIST, PAGE | READ_WRITE);
        assertThat(guest.calls.call(0x20, LIOBN, 0, READ_WRITE, 0, value)).isZero();
        assertThat(guest.calls.call(0x13c, LIOBN, PAGE, LIST, 1, value)).isZero();
        assertThat(guest.calls.call(0x1c, LIOBN, PAGE, 0, 0, value)).isZero();
        assertThat(value.value()).isEqualTo(PAGE | READ_WRITE);
        assertThat(guest.calls.call(0x138, LIOBN, 0, 0, 2, value)).isZero();
        assertThat(guest.get(1)).isZero();
        assertThat(guest.calls.call(0x138, LIOBN, 0, 1, 2, value)).isEqualTo(-4);
        assertThat(guest.calls.call(0x24, LIOBN, 0, 0, 0, value)).isEqualTo(-2);
        assertThat(guest.calls.call(-1, 0, 0, 0, 0, value)).isEqualTo(-2);
        assertThat(guest.calls.call(0x1_0000_0020L, LIOBN, 0, 3, 0, value)).isEqualTo(-2);
    }

    // Guest tables

    @Test
    void tablesAreNamedOnceAndWithinTheBus() throws IommufdException {
        GuestTables tables = guest.tables;
        Task task = guest.task;
        refuses(Errno.EBUSY, () -> tables.create(task, LIOBN, 12, 0, 1));
        refuses(Errno.EINVAL, () -> tables.create(task, 2, 11, 0, 1));
        refuses(Errno.EINVAL, () -> tables.create(task, 2, 35, 0, 1));
        refuses(Errno.EINVAL, () -> tables.create(task, 2, 12, 0, 0));
        refuses(Errno.EINVAL, () -> tables.create(task, 2, 12, -1L, 2));
        refuses(Errno.EINVAL, () -> tables.create(task, 2, 12, 1L << 52, 1));
        refuses(Errno.EINVAL, () -> tables.create(task, 2, 34, 1L << 30, 1));
        refuses(Errno.ENOMEM, () -> tables.create(task, 2, 12, 0, EntryPages.MAX + 1));
        assertThat(tables.size()).isEqualTo(1);
        long locked = guest.process.locked().locked();
        TceTable table = tables.create(task, -1L, 12, 0, 1024);
        assertThat(guest.process.locked().locked()).isEqualTo(locked + 3);
        assertThat(tables.find(-1L)).isSameAs(table);
        tables.remove(table);
        assertThat(guest.process.locked().locked()).isEqualTo(locked);
    }

    @Test
    void atTheLimitOfTablesNoneIsMadeUntilOneGoes() throws IommufdException {
        GuestTables tables = guest.tables;
        for (int i = 1; i < GuestTables.TABLES_MAX; i++) {
            tables.create(guest.task, i, 12, 0, 1);
        }
        refuses(Errno.ENOMEM, () -> tables.create(guest.task, 0, 12, 0, 1));
        tables.remove(Objects.requireNonNull(tables.find(7)));
        tables.create(guest.task, 0, 12, 0, 1);
        assertThat(tables.size()).isEqualTo(GuestTables.TABLES_MAX);
    }

    @Test
    @Tag("S09")
    void hardwareTablesAreAttachedIfTheyCanShowAllOfTheGuests() throws IommufdException {
        GuestTables tables = guest.tables;
        Task task = guest.task;
        SpaprGroup group = guest.equal;
        refuses(Errno.EINVAL, () -> tables.attach(tables.create(task, 2, 12, 0, 1), group));
        refuses(Errno.EINVAL, () -> tables.attach(tables.create(task, 3, 16, 1, 1), group));
        long whole = 1L << 14;
        refuses(Errno.EINVAL, () -> tables.attach(tables.create(task, 4, 16, 0, whole + 1), group));
        TceTable fits = tables.create(task, 5, 16, 0, whole);
        tables.attach(fits, group);
        tables.attach(fits, group);
        assertThat(fits.references(guest.equalTable())).isEqualTo(2);
        tables.release(group);
        assertThat(fits.references(guest.equalTable())).isEqualTo(1);
        tables.release(group);
        tables.release(group);
        assertThat(fits.references(guest.equalTable())).isZero();
        tables.remove(fits);
        refuses(Errno.EINVAL, () -> tables.attach(fits, group));
        SpaprV2 strangers = new SpaprV2(guest.host);
        SpaprGroup far = SpaprGroup.builder().build();
        StubProcess stranger = new StubProcess();
        strangers.attach(far, stranger.failures());
        strangers.register(stranger.task(), AT, 4096);
        strangers.unmap(stranger.task(), 0, 0);
        refuses(Errno.EPERM, () -> tables.attach(guest.table, far));
        strangers.close();
    }

    @Test
    void aContainerThatTheKernelDoesNotKnowMakesAllCallsGoThroughUserSpace()
            throws IommufdException {
        guest.put(0, READ_WRITE);
        guest.tables.release(guest.equal);
        assertThat(guest.put(1, PAGE | READ_WRITE)).isEqualTo(HcallResult.SUCCESS);
        assertThat(answered(1, HcallCounters.Call.PUT)).isEqualTo(1);
        assertThat(guest.offset(guest.equal, PAGE, true)).isEqualTo(PAGE);
        assertThat(guest.offset(guest.small, PAGE, true)).isEqualTo(PAGE);
        guest.tables.attach(guest.table, guest.equal);
        guest.put(0, 0);
        assertThat(answered(0, HcallCounters.Call.PUT)).isEqualTo(2);
        assertThat(guest.offset(guest.equal, 0, true)).isEqualTo(-1);
    }

    @Test
    void aContainerThatIsConnectedLaterShowsWhatIsThereAndAWindowThatGoesIsNoMoreWrittenTo()
            throws IommufdException {
        guest.put(2, PAGE | READ_WRITE);
        SpaprV2 late = new SpaprV2(guest.host);
        SpaprGroup group = SpaprGroup.builder().build();
        late.attach(group, guest.process.failures());
        refuses(Errno.EPERM, () -> guest.user.connect(guest.table, late));
        late.register(guest.task, AT, SLOT - (1 << 20));
        guest.user.connect(guest.table, late);
        assertThat(guest.offset(group, 2 * PAGE + 1, true)).isEqualTo(PAGE + 1);
        guest.put(2, READ_WRITE);
        assertThat(guest.offset(group, 2 * PAGE + 1, true)).isEqualTo(1);
        guest.user.disconnect(guest.table, late);
        assertThat(guest.offset(group, 2 * PAGE, true)).isEqualTo(-1);
        late.close();

        guest.second.removeWindow(guest.task, 0);
        assertThat(guest.tables.memory().entriesInto(AT)).isEqualTo(16);
        assertThat(guest.put(3, READ_WRITE)).isEqualTo(HcallResult.PARAMETER);
        assertThat(guest.put(2, 0)).isEqualTo(HcallResult.SUCCESS);
        assertThat(guest.smallTable().mapped()).isZero();
        guest.user.disconnect(guest.table, guest.second);
        assertThat(guest.put(3, READ_WRITE)).isEqualTo(HcallResult.SUCCESS);
    }

    @Test
    void aWindowThatIsMadeAgainAndAttachedIsWrittenByTheKernelAgain() throws IommufdException {
        HardwareTable gone = guest.equalTable();
        guest.second.removeWindow(guest.task, 0);
        guest.second.createWindow(guest.task, PowerGuest.PAGE_LG2, 1L << 30, 1);
        guest.tables.attach(guest.table, guest.equal);
        assertThat(guest.table.references(gone)).isZero();
        assertThat(guest.put(2, PAGE | READ_WRITE)).isEqualTo(HcallResult.SUCCESS);
        assertThat(answered(0, HcallCounters.Call.PUT)).isEqualTo(1);
        assertThat(guest.offset(guest.equal, 2 * PAGE, true)).isEqualTo(PAGE);
    }

    @Test
    void whatAGroupWasGivenIsTakenFromItAlsoWhenItHasLeftItsContainerAndFromNoOther()
            throws IommufdException {
        HardwareTable window = guest.equalTable();
        SpaprGroup other = SpaprGroup.builder().build();
        guest.second.attach(other, guest.process.failures());
        assertThat(other.window(0)).isSameAs(window);
        guest.tables.release(other);
        assertThat(guest.table.references(window)).as("it was given none").isOne();

        guest.second.detach(guest.equal);
        guest.tables.release(guest.equal);
        assertThat(guest.table.references(window)).isZero();
    }

    @Test
    void aTableThatIsLongerThanAWindowIsClearedAsFarAsThatGoes() throws IommufdException {
        long whole = 1L << 14;
        TceTable longer = guest.tables.create(guest.task, 9, PowerGuest.PAGE_LG2, 0, whole + 2);
        guest.user.connect(longer, guest.second);
        for (boolean isStuffed : new boolean[] {true, false}) {
            assertThat(guest.calls.put(9, (whole - 1) * PAGE, PAGE | READ_WRITE))
                    .isEqualTo(HcallResult.SUCCESS);
            assertThat(guest.calls.put(9, whole * PAGE, READ_WRITE))
                    .isEqualTo(HcallResult.PARAMETER);
            assertThat(guest.offset(guest.equal, whole * PAGE - 1, true)).isEqualTo(2 * PAGE - 1);
            if (isStuffed) {
                assertThat(guest.calls.stuff(9, (whole - 2) * PAGE, 0, 4))
                        .isEqualTo(HcallResult.SUCCESS);
            } else {
                guest.user.disconnect(longer, guest.second);
            }
            assertThat(guest.offset(guest.equal, whole * PAGE - 1, true)).isEqualTo(-1);
            assertThat(guest.equalTable().mapped()).isZero();
        }
    }

    @Test
    void whatAContainerCannotShowIsRefusedToTheGuest() throws IommufdException {
        // Its window has pages of 64 KiB.
        TceTable finer = guest.tables.create(guest.task, 9, 12, 0, 64);
        guest.user.connect(finer, guest.second);
        assertThat(guest.calls.put(9, 0, READ_WRITE)).isEqualTo(HcallResult.PARAMETER);
        assertThat(guest.calls.stuff(9, 0, 0, 3)).isEqualTo(HcallResult.SUCCESS);
        guest.user.disconnect(finer, guest.second);
        // Its window is made when it is first needed, and there is no room for it.
        SpaprV2 late = new SpaprV2(guest.host);
        late.attach(SpaprGroup.builder().build(), guest.process.failures());
        late.register(guest.task, AT, SLOT - (1 << 20));
        guest.user.connect(guest.table, late);
        guest.process.failures().arm(1);
        assertThat(guest.put(0, 0)).isEqualTo(HcallResult.SUCCESS);
        guest.user.disconnect(guest.table, late);
        late.close();
    }

    @Test
    void afterAFailureAtAnyPointOfMakingATableNothingOfItIsLeft() throws IommufdException {
        long locked = guest.process.locked().locked();
        int points = 0;
        while (true) {
            guest.process.failures().arm(points + 1);
            try {
                TceTable made = guest.tables.create(guest.task, 2, 12, 0, 5000);
                guest.process.failures().arm(0);
                guest.tables.remove(made);
                break;
            } catch (IommufdException e) {
                assertThat(e.errno()).isEqualTo(Errno.ENOMEM);
                points++;
            }
            assertThat(guest.tables.size()).isEqualTo(1);
            assertThat(guest.process.locked().locked()).isEqualTo(locked);
        }
        assertThat(points).isEqualTo(2);
        assertThat(guest.process.locked().locked()).isEqualTo(locked);
    }

    @Test
    void afterAFailureAtAnyPointOfConnectingAContainerItShowsNothing() throws IommufdException {
        guest.put(1, READ_WRITE);
        guest.put(40, APART | READ_WRITE);
        SpaprV2 late = new SpaprV2(guest.host);
        SpaprGroup group = SpaprGroup.builder().build();
        late.attach(group, guest.process.failures());
        late.register(guest.task, AT, SLOT - (1 << 20));
        late.register(guest.task, AT + SLOT, SLOT - (1 << 20));
        long entries = guest.tables.memory().entriesInto(AT);
        int points = 0;
        while (true) {
            guest.process.failures().arm(points + 1);
            try {
                guest.user.connect(guest.table, late);
                break;
            } catch (IommufdException e) {
                points++;
            }
            assertThat(guest.process.failures().remaining()).isZero();
            assertThat(guest.tables.memory().entriesInto(AT)).isEqualTo(entries);
            assertThat(guest.offset(group, PAGE, false)).isEqualTo(-1);
        }
        guest.process.failures().arm(0);
        assertThat(points).as("three for each page of the container's").isEqualTo(2 * 16 * 3);
        assertThat(guest.offset(group, PAGE, false)).isZero();
        guest.user.disconnect(guest.table, late);
        late.close();
    }

    // Both ways beside each other

    /** One call of a random sequence. */
    private record Step(int kind, long index, long tce, long count, List<Long> list) {
        static Step random(Random random) {
            long index = random.nextInt(ENTRIES + 2);
            List<Long> list =
                    LongStream.generate(() -> tce(random))
                            .limit(1 + random.nextInt(20))
                            .boxed()
                            .toList();
            return new Step(random.nextInt(4), index, tce(random), random.nextInt(20), list);
        }

        private static long tce(Random random) {
            long rights = random.nextInt(4);
            return switch (random.nextInt(24)) {
                case 0 -> UNREGISTERED | rights;
                case 1 -> SLOT | rights;
                case 2 -> 0x1000 | rights;
                case 3 -> random.nextLong();
                case 4 -> APART + UNREGISTERED | rights;
                default -> (random.nextBoolean() ? APART : 0) + random.nextInt(300) * PAGE | rights;
            };
        }

        HcallResult run(PowerGuest guest) {
            return switch (kind) {
                case 0, 1 -> guest.put(index, tce);
                case 2 -> {
                    guest.list(LIST, list.stream().mapToLong(Long::longValue).toArray());
                    yield guest.indirect(index, LIST, list.size());
                }
                default -> guest.stuff(index, tce, count);
            };
        }

        /** What the entries are afterwards, by the plain rules. */
        HcallResult model(Map<Long, Long> entries) {
            return switch (kind) {
                case 0, 1 ->
                        index >= ENTRIES || isNone(tce)
                                ? HcallResult.PARAMETER
                                : put(entries, index, tce);
                case 2 -> {
                    if (index + list.size() > ENTRIES) {
                        yield HcallResult.PARAMETER;
                    }
                    for (long tce : list) {
                        if (isNone(tce)) {
                            yield HcallResult.PARAMETER;
                        }
                    }
                    HcallResult result = HcallResult.SUCCESS;
                    for (int i = 0; i < list.size() && result == HcallResult.SUCCESS; i++) {
                        result = put(entries, index + i, list.get(i));
                    }
                    yield result;
                }
                default -> {
                    if (index + count > ENTRIES || (tce & 3) != 0) {
                        yield HcallResult.PARAMETER;
                    }
                    for (long i = 0; i < count; i++) {
                        entries.put(index + i, tce);
                    }
                    yield HcallResult.SUCCESS;
                }
            };
        }

        /** Whether it leads to what is no page of the guest's. */
        private static boolean isNone(long tce) {
            long page = tce & ~3;
            boolean isMemory = (page >= 0 && page < SLOT) || (page >= APART && page < APART + SLOT);
            return (tce & 3) != 0 && (page % PAGE != 0 || !isMemory);
        }

        private static HcallResult put(Map<Long, Long> entries, long index, long tce) {
            long within = (tce & ~3) % APART;
            if ((tce & 3) != 0 && within >= UNREGISTERED) {
                entries.put(index, 0L);
                return HcallResult.PARAMETER;
            }
            entries.put(index, tce);
            return HcallResult.SUCCESS;
        }
    }

    @Test
    @Tag("S11")
    void bothWaysLeaveWhatThePlainModelSays() {
        long seed = System.nanoTime();
        System.out.println("hypercalls seed " + seed);
        Random random = new Random(seed);
        PowerGuest slow = made(false);
        Map<Long, Long> entries = new HashMap<>();
        int done = 0;
        int refused = 0;
        for (int i = 0; i < 4000; i++) {
            Step step = Step.random(random);
            HcallResult expected = step.model(entries);
            assertThat(step.run(guest))
                    .as("seed %d, step %d: %s", seed, i, step)
                    .isEqualTo(expected);
            assertThat(step.run(slow))
                    .as("seed %d, step %d: %s", seed, i, step)
                    .isEqualTo(expected);
            if (i % 16 == 0) {
                List<Long> state = PowerGuest.stateOf(entries, guest.node.heldPages());
                assertThat(guest.state()).as("seed %d, step %d", seed, i).isEqualTo(state);
                assertThat(slow.state()).as("seed %d, step %d", seed, i).isEqualTo(state);
            }
            done += expected == HcallResult.SUCCESS ? 1 : 0;
            refused += expected == HcallResult.SUCCESS ? 0 : 1;
        }
        slow.close();
        assertThat(done).isGreaterThan(500);
        assertThat(refused).isGreaterThan(500);
        assertThat(answered(0, HcallCounters.Call.PUT)).isPositive();
        assertThat(answered(1, HcallCounters.Call.PUT)).isPositive();
    }

    @Test
    @Tag("S11")
    void aCallThatTheKernelGivesUpAnywhereIsDoneAgainByUserSpaceWithTheSameOutcome() {
        long seed = System.nanoTime();
        System.out.println("restarted hypercalls seed " + seed);
        Random random = new Random(seed);
        Map<Long, Long> entries = new HashMap<>();
        int given = 0;
        for (int i = 0; i < 2000; i++) {
            Step step = Step.random(random);
            HcallResult expected = step.model(entries);
            guest.kernel.arm(1 + random.nextInt(60));
            assertThat(step.run(guest))
                    .as("seed %d, step %d: %s", seed, i, step)
                    .isEqualTo(expected);
            given += guest.kernel.remaining() == 0 ? 1 : 0;
            guest.kernel.arm(0);
            if (i % 16 == 0) {
                assertThat(guest.state())
                        .as("seed %d, step %d: %s", seed, i, step)
                        .isEqualTo(PowerGuest.stateOf(entries, guest.node.heldPages()));
            }
        }
        assertThat(given).isGreaterThan(200);
    }

    @Test
    void whatUserSpaceCannotFinishLeadsNowhereInAnyTable() {
        guest.put(0, 3 * PAGE | READ_WRITE);
        int points = 0;
        while (true) {
            guest.kernel.arm(1);
            guest.process.failures().arm(points + 1);
            HcallResult result = guest.put(0, PAGE | READ_WRITE);
            boolean hasFailed = guest.process.failures().remaining() == 0;
            guest.process.failures().arm(0);
            Map<Long, Long> entries = new HashMap<>();
            if (!hasFailed) {
                assertThat(result).isEqualTo(HcallResult.SUCCESS);
                break;
            }
            assertThat(result).isIn(HcallResult.HARDWARE, HcallResult.CLOSED);
            assertThat(guest.state())
                    .as("point %d", points)
                    .isEqualTo(PowerGuest.stateOf(entries, guest.node.heldPages()));
            guest.kernel.arm(0);
            assertThat(guest.put(0, 3 * PAGE | READ_WRITE)).isEqualTo(HcallResult.SUCCESS);
            points++;
        }
        assertThat(points).isGreaterThan(30);
    }
}
