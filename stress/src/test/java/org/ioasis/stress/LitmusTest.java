// SPDX-License-Identifier: Apache-2.0
package org.ioasis.stress;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.openjdk.jcstress.infra.runners.TestList;

/** Every litmus test of this module, briefly; {@code ./ioasis stress} has the time. */
class LitmusTest {
    private static Stream<String> of(Class<?> group) {
        return TestList.tests().stream()
                .filter(name -> name.startsWith(group.getName() + "."))
                .sorted();
    }

    static Stream<String> guards() {
        return of(GuardLitmus.class);
    }

    static Stream<String> rings() {
        return of(RingLitmus.class);
    }

    static Stream<String> looks() {
        return of(LookLitmus.class);
    }

    static Stream<String> stores() {
        return of(StoreLitmus.class);
    }

    static Stream<String> engines() {
        return of(EngineLitmus.class);
    }

    static Stream<String> ioasids() {
        return of(IoasidLitmus.class);
    }

    static Stream<String> iotlbs() {
        return Stream.concat(of(IotlbLitmus.class), of(ContextLitmus.class));
    }

    static Stream<String> pageRequests() {
        return of(PageRequestLitmus.class);
    }

    static Stream<String> writeLogs() {
        return of(WriteLogLitmus.class);
    }

    @ParameterizedTest
    @MethodSource("writeLogs")
    void noWriteIsLostBetweenACopyAndTheNextQuestion(String litmus)
            throws IOException, ReflectiveOperationException {
        // Each has memory and bits of its own.
        Litmus.run(litmus, 50_000);
    }

    @ParameterizedTest
    @MethodSource("pageRequests")
    void aGroupOfPageRequestsHasOneAnswer(String litmus)
            throws IOException, ReflectiveOperationException {
        // Each has a context of its own.
        Litmus.run(litmus, 5_000);
    }

    @ParameterizedTest
    @MethodSource("guards")
    void noSectionThatFoundTheOldStateIsOpenWhenTheChangeIsAnswered(String litmus)
            throws IOException, ReflectiveOperationException {
        Litmus.run(litmus);
    }

    @ParameterizedTest
    @MethodSource("rings")
    void driverAndDeviceNeverRestBesideWork(String litmus)
            throws IOException, ReflectiveOperationException {
        Litmus.run(litmus);
    }

    @ParameterizedTest
    @MethodSource("looks")
    void lookThatEndsFindsWhatIsThereOrTheDriverKicks(String litmus)
            throws IOException, ReflectiveOperationException {
        Litmus.run(litmus);
    }

    @ParameterizedTest
    @MethodSource("stores")
    void lookupFindsNothingOrOneWholeMapping(String litmus)
            throws IOException, ReflectiveOperationException {
        Litmus.run(litmus);
    }

    @ParameterizedTest
    @MethodSource("engines")
    void requestsAndListenersAreAnsweredInOrder(String litmus)
            throws IOException, ReflectiveOperationException {
        Litmus.run(litmus);
    }

    @ParameterizedTest
    @MethodSource("ioasids")
    void noGetterHasDataThatWasDropped(String litmus)
            throws IOException, ReflectiveOperationException {
        Litmus.run(litmus);
    }

    @ParameterizedTest
    @MethodSource("iotlbs")
    void noTranslationIsFoundAfterItsInvalidation(String litmus)
            throws IOException, ReflectiveOperationException {
        Litmus.run(litmus);
    }

    @Test
    void everyLitmusIsInOneOfTheGroups() {
        List<String> grouped =
                Stream.of(
                                guards(),
                                rings(),
                                looks(),
                                stores(),
                                engines(),
                                ioasids(),
                                iotlbs(),
                                pageRequests(),
                                writeLogs())
                        .flatMap(names -> names)
                        .sorted()
                        .toList();

        assertThat(grouped).isEqualTo(TestList.tests().stream().sorted().toList()).isNotEmpty();
    }
}
