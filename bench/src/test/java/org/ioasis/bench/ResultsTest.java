// SPDX-License-Identifier: Apache-2.0
package org.ioasis.bench;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.List;
import org.ioasis.output.Surroundings;
import org.junit.jupiter.api.Test;

/** What a run is asked for and what it leaves, without one. */
class ResultsTest {
    @Test
    void jsonSaysWhereItWasMeasuredWithWhatUnitAndHowFarTheRoundsLieApart() throws Exception {
        Results results = new Results();
        List.of(3.0, 1.0, 2.5).forEach(nanos -> results.add("W4-hot16", "ioasis", nanos));
        results.addAllocated("W4-hot16", 0.5);
        Surroundings where =
                new Surroundings(
                        "some processor", 4, 1L << 33, "6.12", "a VM 25", List.of("-Xmx1g"), "abc");

        String json = new String(results.json(Case.chosen(true, "W4"), where), UTF_8);

        assertThat(json.replaceAll("\\s", ""))
                .isEqualTo(
                        ("{'report':'ioasisbench','machine':{'processor':'someprocessor','processors':4,"
                                        + "'memoryBytes':8589934592,'kernel':'6.12'},'jvm':{'version':"
                                        + "'aVM25','options':['-Xmx1g']},'commit':'abc',"
                                        + "'unit':'nsperoperation','results':[{'workload':'W4-hot16',"
                                        + "'subject':'ioasis','nsPerOp':2.5,'rounds':3,"
                                        + "'nsPerOpLeast':1.0,'nsPerOpMost':3.0,"
                                        + "'allocBytesPerOp':0.5}]}")
                                .replace('\'', '"'));
    }

    @Test
    void whatSurroundsThisProcessIsFound() throws Exception {
        Surroundings here = Surroundings.here("");

        assertThat(here.processor()).isNotBlank();
        assertThat(here.processors()).isPositive();
        assertThat(here.memoryBytes()).isGreaterThan(1L << 28);
        assertThat(here.kernel()).matches("\\d+\\..*");
        assertThat(here.jvm()).contains(System.getProperty("java.vm.version"));
        assertThat(here.commit()).isEqualTo("unknown");
    }

    @Test
    void workloadThatIsNotThereIsRefusedWithThoseThatAre() {
        assertThat(Case.chosen(false, "W3-rand")).hasSize(3);
        assertThat(Case.chosen(false, "")).isEqualTo(Case.ALL);
        assertThatThrownBy(() -> Case.chosen(false, "w3"))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageStartingWith("no workload has w3 in its name; there are W1-map-65536, ")
                .hasMessageEndingWith(", host-ioctl");
        assertThatThrownBy(() -> Case.chosen(true, "W3-rand-1024"))
                .hasMessageStartingWith(
                        "no workload of the short list has W3-rand-1024 in its name");
    }
}
