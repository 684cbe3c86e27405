// SPDX-License-Identifier: Apache-2.0
package org.ioasis.architecture;

import static org.assertj.core.api.Assertions.assertThat;

import com.tngtech.archunit.core.domain.JavaClasses;
import com.tngtech.archunit.lang.ArchRule;
import java.io.IOException;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;

/**
 * The rules of the house, over all classes that are shipped. The second half shows that each rule
 * fails where it should: it runs the same rules over the classes below {@code planted}, each of
 * which breaks exactly one.
 */
class ArchitectureTest {
    private static final Rules RULES = new Rules("org.ioasis");
    private static final Rules PLANTED_RULES = new Rules("org.ioasis.architecture.planted");

    private static JavaClasses production;
    private static JavaClasses planted;

    @BeforeAll
    static void readClasses() throws IOException {
        production = Tree.productionClasses();
        planted = Tree.plantedClasses();
    }

    @Test
    void classesOfEveryModuleBelowThisOneAreLookedAt() {
        assertThat(production)
                .extracting(type -> type.getPackageName())
                .contains("org.ioasis.sys", "org.ioasis.memory", "org.ioasis.cli");
    }

    @TestFactory
    Stream<DynamicTest> eachPackageUsesOnlyWhatIsBelowIt() {
        return RULES.directions().stream()
                .map(rule ->
                        DynamicTest.dynamicTest(
                                rule.getDescription(), () -> rule.check(production)));
    }

    @Test
    void everyPackageHasAPlaceInTheTable() {
        RULES.everyPackageIsKnown().check(production);
    }

    @Test
    void packagesHaveNoCycles() {
        RULES.noCycles().check(production);
    }

    @Test
    void nativeAccessIsOnlyInSys() {
        RULES.nativeAccessOnlyInSys().check(production);
    }

    @Test
    void devicesWriteGuestMemoryOnlyThroughTheirDma() {
        RULES.guestMemoryOnlyThroughDma().check(production);
    }

    @Test
    void writeBehindADmaIsFound() {
        assertFinds(
                PLANTED_RULES.guestMemoryOnlyThroughDma(), "planted.virtio.blk.WritesBehindDma");
    }

    @Test
    void engineDoesNoInputAndOutput() {
        RULES.engineWithoutInputAndOutput().check(production);
    }

    @Test
    void whatHasABuilderIsMadeByItAlone() {
        RULES.buildersAlone().check(production);
    }

    @Test
    void constructorBesideABuilderIsFound() {
        assertFinds(PLANTED_RULES.buildersAlone(), "planted.spec.PassesBuilder");
    }

    @Test
    void everyPackageIsNullMarked() {
        RULES.everyPackageIsNullMarked().check(production);
    }

    @Test
    void engineThatUsesVirtioIsFound() {
        assertFinds(PLANTED_RULES.direction("iommu"), "planted.iommu.UsesVirtio");
    }

    @Test
    void numbersThatUseMemoryAreFound() {
        assertFinds(PLANTED_RULES.direction("spec"), "planted.spec.UsesMemory");
    }

    @Test
    void coreThatUsesLinuxIsFound() {
        assertFinds(PLANTED_RULES.direction("memory"), "planted.memory.UsesSys");
    }

    @Test
    void diskThatUsesTheEngineIsFound() {
        assertFinds(PLANTED_RULES.direction("virtio.blk"), "planted.virtio.blk.UsesIommu");
    }

    @Test
    void functionThatUsesItsProtocolIsFound() {
        assertFinds(PLANTED_RULES.direction("pci"), "planted.pci.UsesVfioUser");
    }

    @Test
    void protocolThatUsesTheOtherIsFound() {
        assertFinds(PLANTED_RULES.direction("vfiouser"), "planted.vfiouser.UsesVhostUser");
    }

    @Test
    void allowedDirectionIsNotReported() {
        assertThat(PLANTED_RULES.direction("virtio.iommu").evaluate(planted).hasViolation())
                .isFalse();
    }

    @Test
    void packageWithoutAPlaceIsFound() {
        assertFinds(PLANTED_RULES.everyPackageIsKnown(), "planted.stray.Unknown");
    }

    @Test
    void cycleIsFound() {
        assertFinds(PLANTED_RULES.noCycles(), "planted.pci.UsesVfioUser");
    }

    @Test
    void linkerOutsideOfSysIsFound() {
        assertFinds(PLANTED_RULES.nativeAccessOnlyInSys(), "planted.loop.UsesLinker");
    }

    @Test
    void reinterpretByMethodReferenceIsFound() {
        assertFinds(PLANTED_RULES.nativeAccessOnlyInSys(), "planted.loop.UsesReinterpret");
    }

    @Test
    void segmentOfAnAddressIsFound() {
        assertFinds(PLANTED_RULES.nativeAccessOnlyInSys(), "planted.loop.UsesOfAddress");
    }

    @Test
    void fileInTheEngineIsFound() {
        assertFinds(PLANTED_RULES.engineWithoutInputAndOutput(), "planted.iommu.UsesFile");
    }

    @Test
    void packageThatIsNotNullMarkedIsFound() {
        assertFinds(PLANTED_RULES.everyPackageIsNullMarked(), "planted.stray.Unknown");
    }

    private static void assertFinds(ArchRule rule, String violator) {
        assertThat(rule.evaluate(planted).getFailureReport().toString()).contains(violator);
    }
}
